//! The guarantee against populations whose truth is known. `scripts/simulate_guarantee.py` does it at full length.

use super::*;

/// A population's law: the chances that only the strong model is right, and that only the weak one is, at a win rate.
type Law = fn(f64) -> (f64, f64);

/// Numbers in 0..1, one after the other.
struct Draws(Key, u64);

impl Draws {
    fn of(seed: u64) -> Self {
        Self(Key::new(seed), 0)
    }

    fn next(&mut self) -> f64 {
        self.1 += 1;
        let mut one = [0.0];
        self.0.part(self.1).uniform(&mut one);
        f64::midpoint(f64::from(one[0]), 1.0)
    }
}

struct Sample {
    win_rates: Vec<f64>,
    strong: Vec<f64>,
    weak: Vec<f64>,
}

fn sample(n: usize, law: Law, draws: &mut Draws) -> Sample {
    let mut sample = Sample { win_rates: Vec::new(), strong: Vec::new(), weak: Vec::new() };
    for _ in 0..n {
        let (rate, chance) = (draws.next(), draws.next());
        let (strong_only, weak_only) = law(rate);
        let (strong, weak) = match chance {
            chance if chance < strong_only => (1.0, 0.0),
            chance if chance < strong_only + weak_only => (0.0, 1.0),
            _ => (1.0, 1.0),
        };
        sample.win_rates.push(rate);
        sample.strong.push(strong);
        sample.weak.push(weak);
    }
    sample
}

impl Sample {
    fn rows(&self) -> Rows<'_> {
        Rows { win_rates: &self.win_rates, strong: &self.strong, weak: &self.weak, gold: None }
    }
}

fn terms(risk: Risk) -> Terms {
    Terms { risk, most: 0.05, delta: 0.05, start: None, ceiling: 1.0, seed: 0 }
}

/// The true risk at a threshold, of a law over uniform win rates: the integral by the midpoint rule.
fn true_risk(law: Law, risk: Risk, threshold: f64) -> f64 {
    const STEPS: usize = 2_000;
    let width = threshold / STEPS as f64;
    let at = |i: usize| {
        let (strong, weak) = law((i as f64 + 0.5) * width);
        if risk == Risk::Regret { strong } else { strong - weak }
    };
    let whole = (0..STEPS).map(at).sum::<f64>() * width;
    if risk == Risk::WeakRouted && threshold > 0.0 { whole / threshold } else { whole }
}

/// A loss that creeps over the bound and stays near it: the worst place for a bound that is a little too good.
fn tight(rate: f64) -> (f64, f64) {
    if rate < 0.3 { (0.2, 0.2 - 0.04 / 0.3) } else { (0.22, 0.2) }
}

/// Among the weak-routed the loss is a little more than 0.05 from a fifth on.
fn tight_among_weak(rate: f64) -> (f64, f64) {
    if rate < 0.2 { (0.25, 0.205) } else { (0.252, 0.2) }
}

#[test]
fn the_bound_fails_as_rarely_as_it_says() {
    const TIMES: usize = 400;
    let mut draws = Draws::of(11);
    for (risk, law) in
        [(Risk::Net, tight as Law), (Risk::Regret, tight as Law), (Risk::WeakRouted, tight_among_weak as Law)]
    {
        for n in [100, 500, 1_000] {
            let failures = (0..TIMES)
                .filter(|_| {
                    let found = certify(&sample(n, law, &mut draws).rows(), &terms(risk)).unwrap();
                    found.threshold.is_some_and(|threshold| true_risk(law, risk, threshold) > 0.05 + 1e-9)
                })
                .count();
            // Of 400, 35 or more have a probability of 0.001 where each has one of 0.05.
            assert!(failures < 35, "{risk:?} {n}: {failures}");
        }
    }
}

#[test]
fn a_harmless_weak_model_takes_all() {
    let mut draws = Draws::of(5);
    for risk in [Risk::Net, Risk::Regret, Risk::WeakRouted] {
        let found = certify(&sample(400, |_| (0.01, 0.02), &mut draws).rows(), &terms(risk)).unwrap();
        assert_eq!((found.threshold, found.failed), (Some(1.0), None), "{risk:?}");
        assert!(found.bound <= 0.05 && found.bound > found.loss, "{risk:?} {found:?}");
        let (n, aside) = if risk == Risk::WeakRouted { (360, 40) } else { (400, 0) };
        assert_eq!((found.n, found.below + aside), (n, 400), "{risk:?}");
    }
}

#[test]
fn nothing_is_certified_without_evidence() {
    let mut draws = Draws::of(5);
    let (wrong, right): (Law, Law) = (|_| (1.0, 0.0), |_| (0.0, 0.0));
    // Never wrong, but asked too rarely: ln(0.05) / ln(0.95) is 58.4.
    let rarely = [Risk::Net, Risk::Regret, Risk::WeakRouted].map(|risk| (risk, 58, right));
    for (risk, n, law) in rarely.into_iter().chain([(Risk::WeakRouted, 500, wrong)]) {
        let found = certify(&sample(n, law, &mut draws).rows(), &terms(risk)).unwrap();
        assert_eq!((found.threshold, found.below, found.bound), (None, 0, 0.0), "{risk:?} {n}");
        assert!(found.failed.is_some());
    }
    let found = certify(&sample(70, right, &mut draws).rows(), &terms(Risk::Net)).unwrap();
    assert_eq!(found.threshold, Some(1.0));
}

#[test]
fn the_threshold_is_the_first_score_that_is_not_weak() {
    let win_rates: Vec<f64> = (0..300).map(|row| f64::from(row) / 300.0).collect();
    let weak: Vec<f64> = (0..300).map(|row| if row < 200 { 1.0 } else { 0.0 }).collect();
    let rows = Rows { win_rates: &win_rates, strong: &[1.0; 300], weak: &weak, gold: None };
    let found = certify(&rows, &Terms { most: 0.1, ..terms(Risk::Regret) }).unwrap();
    // The most losses whose upper bound is not above 0.1, and that many rows from row 200 on.
    let most = (0..300).rfind(|&losses| crate::math::binomial::upper(losses, 300, 0.05) <= 0.1).unwrap() as usize;
    assert!((15..25).contains(&most), "{most}");
    assert_eq!((found.threshold, found.below), (Some(win_rates[200 + most]), 200 + most));
    assert_eq!((found.loss, found.bound), (most as f64 / 300.0, 0.1));
    let lower = certify(&rows, &Terms { most: 0.1, ceiling: 0.5, ..terms(Risk::Regret) }).unwrap();
    assert_eq!((lower.threshold, lower.below), (Some(0.5), 150));
}

#[test]
fn a_judge_who_flatters_the_weak_model_is_corrected() {
    const TIMES: usize = 200;
    let law: Law = |rate| (0.1 + 0.3 * rate, 0.1);
    let mut draws = Draws::of(3);
    let (mut trusted, mut corrected, mut weak_share) = (0, 0, 0.0);
    for _ in 0..TIMES {
        let truth = sample(1_000, law, &mut draws);
        // 15 % of his labels are wrong, and half of the weak model's answers are long enough to please him anyway.
        let mut judged = |scores: &[f64], pleased: f64| -> Vec<f64> {
            let flipped = |score: f64, chance: f64| if chance < 0.15 { 1.0 - score } else { score };
            scores
                .iter()
                .map(|&score| (draws.next(), flipped(score, draws.next())))
                .map(|(chance, score)| if chance < pleased { 1.0 } else { score })
                .collect()
        };
        let (strong, weak) = (judged(&truth.strong, 0.0), judged(&truth.weak, 0.5));
        let known = |scores: &[f64]| {
            scores.iter().enumerate().map(|(row, &score)| if row < 300 { score } else { f64::NAN }).collect::<Vec<_>>()
        };
        let gold = (known(&truth.strong), known(&truth.weak));
        let alone = Rows { win_rates: &truth.win_rates, strong: &strong, weak: &weak, gold: None };
        let beside = Rows { gold: Some((&gold.0, &gold.1)), ..alone };
        let is_wrong = |threshold: Option<f64>| {
            threshold.is_some_and(|threshold| true_risk(law, Risk::Net, threshold) > 0.05 + 1e-9)
        };
        trusted += usize::from(is_wrong(certify(&alone, &terms(Risk::Net)).unwrap().threshold));
        let found = certify(&beside, &terms(Risk::Net)).unwrap();
        assert_eq!((found.n, found.judged), (300, 700));
        corrected += usize::from(is_wrong(found.threshold));
        weak_share += found.threshold.unwrap_or(0.0) / TIMES as f64;
    }
    assert!(trusted > TIMES * 9 / 10, "{trusted}");
    // 20 or more of 200 have a probability of 0.003 where each has one of 0.05.
    assert!(corrected < 20, "{corrected}");
    assert!(weak_share > 0.1, "{weak_share}");
}

#[test]
fn what_cannot_be_is_refused_by_name_and_row() {
    let rows = |strong| Rows { win_rates: &[0.1, 0.2], strong, weak: &[0.0, 1.0], gold: None };
    let said = |rows: &Rows, terms: &Terms| certify(rows, terms).unwrap_err().to_string();
    let net = terms(Risk::Net);
    for (strong, words) in [
        ([0.5, 1.5].as_slice(), "strong_scores: expected scores between 0 and 1, found 1.5 in row 1"),
        (&[f64::NAN, 0.5], "found NaN in row 0"),
        (&[0.5], "expected 2 scores, as many as win rates; found 1"),
    ] {
        let text = said(&rows(strong), &net);
        assert!(text.contains(words), "{text}");
    }
    let good = rows(&[0.5, 0.5]);
    for (bad, words) in [
        (Terms { most: -0.1, ..net }, "max_quality_loss"),
        (Terms { most: f64::NAN, ..net }, "max_quality_loss"),
        (Terms { delta: 0.0, ..net }, "confidence"),
        (Terms { delta: 0.6, ..net }, "confidence"),
    ] {
        let text = said(&good, &bad);
        assert!(text.contains(words), "{text}");
    }
    assert!(said(&Rows { win_rates: &[0.1, f64::NAN], ..good }, &net).contains("win_rates"));
    assert!(certify(&good, &net).is_ok());
}

#[test]
fn a_budget_is_kept_with_the_best_quality() {
    let mut draws = Draws::of(9);
    let (strong_cost, weak_cost) = (vec![0.01; 2_000], vec![0.001; 2_000]);
    let prices = Prices { strong: &strong_cost, weak: &weak_cost, cap: 0.01, weak_is_dearer: false };
    let afford = |truth: &Sample, budget| {
        super::afford(&truth.win_rates, (&truth.strong, &truth.weak), &prices, budget, 0.05, 0).unwrap()
    };
    let mut failures = 0;
    for _ in 0..100 {
        let found = afford(&sample(2_000, |rate| (0.4 * rate, 0.02), &mut draws), 0.0055);
        // Half strong comes to the budget exactly; here the share of win rates at or above t is 1 - t.
        let threshold = found.threshold.unwrap();
        failures += usize::from(threshold < 0.5);
        assert!((0.5 - 0.05..0.6).contains(&threshold) && found.cost < 0.0055, "{found:?}");
    }
    assert!(failures < 15, "{failures}");
    // Where the weak model is the better one, all money is left in the purse.
    let found = afford(&sample(2_000, |_| (0.0, 0.4), &mut draws), 0.0055);
    assert_eq!((found.threshold, found.below), (Some(1.0), 2_000));
    // And what even the weak model overspends cannot be kept.
    assert_eq!(afford(&sample(2_000, |_| (0.4, 0.0), &mut draws), 0.0005).threshold, None);
}

#[test]
fn a_dearer_weak_model_is_taken_in_from_the_other_end() {
    let mut draws = Draws::of(10);
    let (strong_cost, weak_cost) = (vec![0.001; 2_000], vec![0.01; 2_000]);
    let prices = Prices { strong: &strong_cost, weak: &weak_cost, cap: 0.01, weak_is_dearer: true };
    let afford = |truth: &Sample, budget| {
        super::afford(&truth.win_rates, (&truth.strong, &truth.weak), &prices, budget, 0.05, 0).unwrap()
    };
    // The weak model is the better one, so as much goes there as the budget allows: half.
    let found = afford(&sample(2_000, |_| (0.0, 0.4), &mut draws), 0.0055);
    assert!((0.4..0.5).contains(&found.threshold.unwrap()) && found.cost < 0.0055, "{found:?}");
    let found = afford(&sample(2_000, |_| (0.4, 0.0), &mut draws), 0.002);
    assert_eq!((found.threshold, found.below), (Some(0.0), 0));
    let found = afford(&sample(2_000, |_| (0.4, 0.0), &mut draws), 0.0005);
    assert_eq!((found.threshold, found.below), (None, 0));
}
