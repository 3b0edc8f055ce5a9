//! What another threshold would have meant for the calls in the book: numbers by win rate, which the page adds up as its
//! slider moves.
//!
//! Of every call is asked what the strongest and what the weakest rung would have cost. One of them was paid, if it was one
//! of the two that answered; the strongest's is the baseline the book has of every call; the weakest's is that times what
//! the weakest cost where both are known. Quality is the mean score of each one's answers to prompts of about that win
//! rate, those asked only to compare with included: what goes where depends on the win rate alone, so such prompts are
//! alike.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::About;
use crate::ledger::picture::{BINS, Bin, Judged, Picture, Weighted};
use crate::ledger::rank;

/// A mean of fewer scores borrows those of win rates nearby.
const ENOUGH: i64 = 20;

/// One entry a router with win rates, those with most calls first. Empty without two rungs.
pub(super) fn made(about: &About, picture: &Picture) -> Value {
    let [weak, .., strong] = &about.rungs[..] else { return json!([]) };
    let (weak, strong) = (&weak.model, &strong.model);
    let mut routers = BTreeMap::<&str, Vec<&Bin>>::new();
    for bin in &picture.bins {
        routers.entry(&bin.router).or_default().push(bin);
    }
    let of_router = |(router, bins): (&str, Vec<&Bin>)| {
        let mut counts = [0; BINS];
        for bin in &bins {
            counts[place(bin.index)] += bin.n;
        }
        let n: i64 = counts.iter().sum();
        let answered_strong: i64 = bins.iter().filter(|bin| bin.model == *strong).map(|bin| bin.n).sum();
        let (priced, cost) = bins.iter().fold((0, 0.0), |sums, bin| (sums.0 + bin.priced, sums.1 + bin.cost));
        let (weak_cost, strong_cost) = costs(&bins, weak, strong);
        let value = json!({
            "router": router,
            "n": n,
            "weak": weak,
            "strong": strong,
            "counts": counts.as_slice(),
            "weak_cost": weak_cost,
            "strong_cost": strong_cost,
            "recorded": {
                "share": answered_strong as f64 / n.max(1) as f64,
                "cost": (priced > 0).then(|| cost / priced as f64),
            },
            "quality": scores(&picture.judged, router, weak, strong),
        });
        (n, value)
    };
    let mut found: Vec<(i64, Value)> = routers.into_iter().map(of_router).collect();
    found.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
    found.into_iter().map(|(_, value)| value).collect()
}

fn place(index: i64) -> usize {
    index.clamp(0, BINS as i64 - 1) as usize
}

/// A number of calls and what they cost.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    n: i64,
    sum: f64,
}

impl Cost {
    fn add(&mut self, n: i64, sum: f64) {
        self.n += n;
        self.sum += sum;
    }

    fn mean(self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }
}

/// Dollars a call by bin, of the weakest and the strongest rung; `None` where nothing is known of it at all.
fn costs(bins: &[&Bin], weak: &str, strong: &str) -> (Option<Vec<f64>>, Option<Vec<f64>>) {
    let (mut of_weak, mut of_strong) = ([Cost::default(); BINS], [Cost::default(); BINS]);
    let (mut paid, mut baseline) = (0.0, 0.0);
    for bin in bins.iter().filter(|bin| bin.model == weak) {
        paid += bin.compared_cost;
        baseline += bin.baseline;
    }
    let ratio = (baseline > 0.0).then(|| paid / baseline);
    for bin in bins {
        let place = place(bin.index);
        let known = if bin.model == strong { (bin.priced, bin.cost) } else { (bin.compared, bin.baseline) };
        of_strong[place].add(known.0, known.1);
        if bin.model == weak {
            of_weak[place].add(bin.priced, bin.cost);
        } else if let Some(ratio) = ratio {
            of_weak[place].add(known.0, known.1 * ratio);
        }
    }
    (filled(&of_weak), filled(&of_strong))
}

/// The means, with that of all where a bin has none.
fn filled(costs: &[Cost; BINS]) -> Option<Vec<f64>> {
    let mut all = Cost::default();
    for cost in costs {
        all.add(cost.n, cost.sum);
    }
    let mean = all.mean()?;
    Some(costs.iter().map(|cost| cost.mean().unwrap_or(mean)).collect())
}

/// Mean scores by bin, with what tells their spread, of the source that knows best of those that know both models; else how
/// many scores there are, of the source that comes nearest to that.
fn scores(judged: &[Judged], router: &str, weak: &str, strong: &str) -> Value {
    let mut sources = BTreeMap::<(u8, &str), [[Weighted; BINS]; 2]>::new();
    for one in judged.iter().filter(|one| one.router.as_deref() == Some(router)) {
        let side = match one.model.as_str() {
            model if model == weak => 0,
            model if model == strong => 1,
            _ => continue,
        };
        let Some(index) = one.index else { continue };
        let bins = sources.entry((rank(&one.source), &one.source)).or_insert([[Weighted::default(); BINS]; 2]);
        bins[side][place(index)].merge(&one.scores);
    }
    let number = |bins: &[Weighted; BINS]| bins.iter().map(|of| of.n).sum::<i64>();
    let fewest = |sides: &[[Weighted; BINS]; 2]| number(&sides[0]).min(number(&sides[1]));
    let told = |source: &str, sides: &[[Weighted; BINS]; 2], enough: bool| {
        let mut value = json!({"source": source, "weak_n": number(&sides[0]), "strong_n": number(&sides[1])});
        if enough {
            value["weak"] = smooth(&sides[0]);
            value["strong"] = smooth(&sides[1]);
        }
        value
    };
    if let Some(((_, source), sides)) = sources.iter().find(|(_, sides)| fewest(sides) >= ENOUGH) {
        return told(source, sides, true);
    }
    let nearest = sources.iter().max_by_key(|(_, sides)| (fewest(sides), number(&sides[0]) + number(&sides[1])));
    nearest.map_or(Value::Null, |((_, source), sides)| told(source, sides, false))
}

/// By bin: the mean of at least [`ENOUGH`] scores of the nearest win rates, as far as there are so many; how far it reaches
/// for them, and their weight; and the variance that the bin's own scores bring into a sum of scores.
fn smooth(bins: &[Weighted; BINS]) -> Value {
    let (mut mean, mut reach, mut weight, mut spread) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (place, own) in bins.iter().enumerate() {
        let (mut taken, mut far) = (*own, 0);
        while taken.n < ENOUGH && far < BINS {
            far += 1;
            for near in [place.checked_sub(far), Some(place + far)].into_iter().flatten() {
                taken.merge(bins.get(near).unwrap_or(&Weighted::default()));
            }
        }
        // Two of each beside, after Agresti and Coull (1998): ten good ones do not prove that all are.
        let (found, worth) = (taken.mean().unwrap_or(0.5), taken.effective());
        let careful = (found * worth + 2.0) / (worth + 4.0);
        mean.push(found);
        reach.push(far);
        weight.push(taken.weight);
        spread.push(own.squares * careful * (1.0 - careful));
    }
    json!({"mean": mean, "reach": reach, "weight": weight, "spread": spread})
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::Rung;
    use super::*;

    fn about() -> About {
        let rungs = ["weak", "strong"].map(|model| Rung { tier: None, model: model.into() });
        About { rungs: rungs.into(), ..About::default() }
    }

    fn bin(index: i64, model: &str, n: i64, cost: f64, baseline: f64) -> Bin {
        let whole = n as f64;
        Bin {
            router: "mf".into(),
            index,
            model: model.into(),
            n,
            priced: n,
            cost: cost * whole,
            compared: n,
            compared_cost: cost * whole,
            baseline: baseline * whole,
        }
    }

    fn near(value: &Value, expected: f64) -> bool {
        value.as_f64().is_some_and(|value| (value - expected).abs() < 1e-12)
    }

    #[test]
    fn what_was_not_paid_is_forecast() {
        let bins = vec![bin(10, "weak", 8, 0.25, 2.0), bin(10, "weak", 2, 0.25, 2.0), bin(90, "strong", 10, 4.0, 4.0)];
        let told = made(&about(), &Picture { bins, ..Picture::default() });
        let router = &told[0];
        assert_eq!((&router["n"], &router["counts"][10], &router["counts"][90]), (&json!(20), &json!(10), &json!(10)));
        assert!(near(&router["weak_cost"][10], 0.25) && near(&router["strong_cost"][10], 2.0));
        assert!(near(&router["weak_cost"][90], 0.5), "an eighth of 4, as where both are known");
        assert!(near(&router["strong_cost"][50], 3.0), "the mean of all where there are no calls");
        assert!(near(&router["recorded"]["share"], 0.5) && near(&router["recorded"]["cost"], 2.125));
        assert!(router["quality"].is_null());
    }

    #[test]
    fn what_is_not_known_is_not_zero() {
        let unpriced =
            Bin { priced: 0, cost: 0.0, compared: 0, compared_cost: 0.0, baseline: 0.0, ..bin(5, "weak", 3, 0.0, 0.0) };
        let told = made(&about(), &Picture { bins: vec![unpriced.clone()], ..Picture::default() });
        assert!(
            told[0]["weak_cost"].is_null() && told[0]["strong_cost"].is_null() && told[0]["recorded"]["cost"].is_null()
        );
        let only_strong = vec![bin(5, "strong", 3, 4.0, 4.0)];
        let told = made(&about(), &Picture { bins: only_strong, ..Picture::default() });
        assert!(told[0]["weak_cost"].is_null() && near(&told[0]["strong_cost"][5], 4.0));
        let one = About { rungs: about().rungs[..1].into(), ..About::default() };
        assert_eq!(made(&one, &Picture { bins: vec![unpriced], ..Picture::default() }), json!([]));
    }

    #[test]
    fn quality_needs_scores_of_both() {
        let judged = |source: &str, model: &str, index, n: i64, score| Judged {
            source: source.into(),
            model: model.into(),
            own: false,
            task: None,
            router: Some("mf".into()),
            index: Some(index),
            scores: Weighted { n, weight: n as f64, squares: n as f64, score: n as f64 * score },
        };
        let mut scores = vec![judged("user", "weak", 10, 50, 0.5), judged("judge:a", "weak", 10, 19, 1.0)];
        let picture = |judged: &[Judged]| Picture {
            bins: vec![bin(10, "weak", 1, 1.0, 1.0)],
            judged: judged.to_vec(),
            ..Picture::default()
        };
        let told = made(&about(), &picture(&scores));
        let quality = &told[0]["quality"];
        assert_eq!(
            (&quality["source"], &quality["weak_n"], &quality["strong_n"]),
            (&json!("user"), &json!(50), &json!(0))
        );
        assert!(quality.get("weak").is_none());

        scores.extend([judged("judge:a", "weak", 80, 100, 0.25), judged("judge:a", "strong", 80, 40, 0.75)]);
        let told = made(&about(), &picture(&scores));
        let quality = &told[0]["quality"];
        assert_eq!(quality["source"], "judge:a");
        assert!(
            near(&quality["weak"]["mean"][80], 0.25) && near(&quality["strong"]["mean"][10], 0.75),
            "borrowed from where there are some"
        );
        let borrowed = (19.0 + 25.0) / 119.0;
        assert!(near(&quality["weak"]["mean"][10], borrowed), "{}: 19 are one too few", quality["weak"]["mean"][10]);
        assert_eq!((&quality["weak"]["reach"][10], &quality["weak"]["reach"][80]), (&json!(70), &json!(0)));
        assert!(near(&quality["weak"]["weight"][10], 119.0) && near(&quality["weak"]["weight"][80], 100.0));
        let careful = 27.0 / 104.0;
        assert!(near(&quality["weak"]["spread"][80], 100.0 * careful * (1.0 - careful)));
        assert!(near(&quality["weak"]["spread"][40], 0.0), "borrowed scores count where they are");
    }
}
