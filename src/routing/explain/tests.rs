#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::routing::{Ladder, ShareWindow};

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::builtin().unwrap());

const MODELS: [(&str, &str); 4] =
    [("cheap", "gpt-5-nano"), ("mid", "gpt-5-mini"), ("good", "gpt-5.2"), ("best", "gpt-5.2-pro")];

fn ladder(n: usize) -> Asked {
    let rung = |(name, model): (&str, &str)| Rung {
        name: Some(name.to_owned()),
        model: Some(model.to_owned()),
        priced_as: vec![model.to_owned()],
        barred: None,
        answer_tokens: Some(500.0),
    };
    Asked {
        rungs: MODELS.into_iter().take(n).map(rung).collect(),
        ladder: n,
        reach: (0..n).collect(),
        prompt_tokens: Some(1_000),
        at: "2026-01-12".parse().ok(),
        ..Asked::default()
    }
}

fn level(value: f64, cuts: &[f64]) -> usize {
    cuts.iter().take_while(|cut| value >= **cut).count()
}

fn by_cuts(value: f64, cuts: &[f64], barred: &[usize]) -> Asked {
    let mut asked = ladder(cuts.len() + 1);
    for rung in barred {
        asked.rungs[*rung].barred = Some("takes no images".to_owned());
    }
    asked.wanted = Some(level(value, cuts));
    asked.chosen = asked.settled(level(value, cuts));
    asked.word = Word::WinRate { value, cuts: cuts.to_vec() };
    asked
}

fn explained(asked: &Asked) -> Explained {
    explain(asked, &TABLE)
}

fn said(explained: &Explained) -> Vec<&str> {
    explained.changes.iter().map(|change| change.sentence.as_str()).collect()
}

#[test]
fn a_pair_names_the_threshold_that_would_have_changed_it() {
    let mut asked = by_cuts(0.573_19, &[0.6], &[]);
    (asked.rungs[0].name, asked.rungs[1].name) = (Some("weak".into()), Some("strong".into()));
    let weak = explained(&asked);
    assert_eq!(said(&weak), ["strong from a threshold of 0.5731 downwards (it is 0.6)"]);
    assert_eq!(weak.changes[0].thresholds, [0.573_19]);
    let next = weak.runner_up.unwrap();
    assert_eq!((next.rung.as_deref(), next.of), (Some("strong"), "win rate"));
    assert_eq!(next.sentence, "strong: the win rate is 0.0268 below the threshold 0.6");
    // 1,000 and 500 tokens: $0.00125 at gpt-5-mini, $0.00025 at gpt-5-nano less.
    assert_eq!(next.dearer_usd.as_deref(), Some("0.001"));

    (asked.word, asked.chosen) = (Word::WinRate { value: 0.6, cuts: vec![0.6] }, Some(1));
    assert_eq!(said(&explained(&asked)), ["weak from any threshold above 0.6 (it is 0.6)"]);
    // No threshold is above 1 or below 0.
    asked.word = Word::WinRate { value: 1.0, cuts: vec![0.6] };
    let sure = explained(&asked);
    assert!(sure.changes.is_empty() && sure.runner_up.is_some());
}

#[test]
fn a_ladder_says_what_came_next_and_what_each_border_would_have_to_be() {
    let found = explained(&by_cuts(0.412_345, &[0.3, 0.45], &[]));
    assert_eq!(
        said(&found),
        [
            "good if the threshold of good were 0.4123 or lower (it is 0.45)",
            "cheap if the threshold of mid were above 0.4124 (it is 0.3)",
        ]
    );
    let marks: Vec<_> = found.candidates.iter().map(|each| each.mark).collect();
    assert_eq!(marks, [Mark::Open, Mark::Chosen, Mark::RunnerUp]);
    let costs: Vec<_> = found.candidates.iter().map(|each| each.expected_cost_usd.as_deref()).collect();
    assert_eq!(costs, [Some("0.00025"), Some("0.00125"), Some("0.00875")]);
    assert_eq!(found.candidates[2].input_per_million.as_deref(), Some("1.75"));
    assert_eq!(found.candidates[2].output_per_million.as_deref(), Some("14"));
}

#[test]
fn a_rung_that_cannot_serve_is_no_runner_up() {
    let found = explained(&by_cuts(0.44, &[0.3, 0.45, 0.9], &[1, 2]));
    assert_eq!(found.candidates[1].why.as_deref(), Some("takes no images"));
    let marks: Vec<_> = found.candidates.iter().map(|each| each.mark).collect();
    assert_eq!(marks, [Mark::RunnerUp, Mark::Skipped, Mark::Skipped, Mark::Chosen]);
    assert_eq!(said(&found), ["cheap if the threshold of mid were above 0.44 (it is 0.3)"]);

    let mut held = by_cuts(0.1, &[0.3, 0.45], &[]);
    (held.floor, held.ceiling, held.chosen) = (Some(1), Some(1), Some(1));
    let held = explained(&held);
    assert!(held.runner_up.is_none() && held.changes.is_empty());
    let why: Vec<_> = held.candidates.iter().map(|each| each.why.as_deref()).collect();
    assert_eq!(why, [Some("below the floor mid"), None, Some("above the ceiling mid")]);
}

#[test]
fn a_single_threshold_on_a_ladder_leads_from_end_to_end() {
    let mut asked = ladder(3);
    (asked.reach, asked.chosen) = (vec![0, 2], Some(0));
    asked.word = Word::WinRate { value: 0.5, cuts: vec![0.7] };
    let found = explained(&asked);
    assert_eq!(said(&found), ["good if the threshold of good were 0.5 or lower (it is 0.7)"]);
    assert_eq!(found.candidates[1].mark, Mark::Open);
}

#[test]
fn an_unknown_price_is_not_free() {
    let mut asked = by_cuts(0.4, &[0.3, 0.45], &[]);
    asked.rungs[2].priced_as = vec!["who-knows".to_owned()];
    let found = explained(&asked);
    let dear = &found.candidates[2];
    assert_eq!((&dear.input_per_million, &dear.expected_cost_usd), (&None, &None));
    assert_eq!(found.runner_up.unwrap().dearer_usd, None);
    asked.rungs[2].priced_as = vec!["ollama/anything".to_owned()];
    assert_eq!(explained(&asked).candidates[2].expected_cost_usd.as_deref(), Some("0"));
    asked.prompt_tokens = None;
    assert_eq!(explained(&asked).candidates[0].expected_cost_usd, None);
}

#[test]
fn labels_are_measured_against_the_winner_and_their_own_border() {
    let weighed = |name: &str, score, threshold, rung| Weighed { name: name.into(), score, threshold, rung };
    let mut asked = ladder(3);
    asked.chosen = Some(2);
    asked.word = Word::Named {
        label: Some("code".into()),
        weighed: vec![
            weighed("code", 0.61, Some(0.5), Some(2)),
            weighed("maths", 0.6, Some(0.4), Some(2)),
            weighed("chat", 0.41, Some(0.45), Some(0)),
            weighed("summary", 0.3, Some(0.7), Some(1)),
        ],
    };
    let found = explained(&asked);
    assert_eq!(
        said(&found),
        [
            "cheap if 'chat' scored 0.61 or more (it scored 0.4100)",
            "mid if 'summary' scored 0.7 or more (it scored 0.3000)",
        ]
    );
    assert_eq!(found.runner_up.unwrap().sentence, "cheap: 'chat' scored 0.4100, 0.2000 too little");
    // Nothing was near enough: what a route lacks to its own border.
    asked.chosen = Some(1);
    asked.word = Word::Named { label: None, weighed: vec![weighed("chat", 0.41, Some(0.45), Some(0))] };
    assert_eq!(said(&explained(&asked)), ["cheap if 'chat' scored 0.45 or more (it scored 0.4100)"]);
}

#[test]
fn shares_are_said_without_the_noise_of_their_digits() {
    let mut asked = ladder(3);
    (asked.wanted, asked.chosen) = (Some(1), Some(1));
    asked.word = Word::Rank { value: 0.98, shares: vec![0.6, 0.01] };
    let found = explained(&asked);
    assert_eq!(
        said(&found),
        [
            "good if the share from good upwards were 2% or more (it is 1%)",
            "cheap if the share from mid upwards were below 2% (it is 60%)",
        ]
    );
    assert_eq!(found.changes[0].shares, [0.6, 0.02]);
    let mut pair = ladder(2);
    (pair.wanted, pair.chosen) = (Some(0), Some(0));
    pair.word = Word::Rank { value: 0.123_456_789, shares: vec![0.3] };
    assert_eq!(said(&explained(&pair)), ["mid from a share of 87.6544% upwards (it is 30%)"]);
    (pair.wanted, pair.chosen) = (Some(1), Some(1));
    pair.word = Word::Rank { value: 1.0, shares: vec![0.3] };
    let highest = explained(&pair);
    assert_eq!(
        (said(&highest), &highest.changes[0].shares[..]),
        (vec!["cheap with a share of 0 (it is 30%)"], &[0.0][..])
    );
}

#[test]
fn what_was_held_back_names_the_word() {
    let mut asked = by_cuts(0.1, &[0.3, 0.45], &[]);
    (asked.chosen, asked.held) = (Some(2), Some("the lot of holdout sent it here".to_owned()));
    let found = explained(&asked);
    assert_eq!(said(&found), ["cheap but for this: the lot of holdout sent it here"]);
    let next = found.runner_up.unwrap();
    assert_eq!((next.by, next.of, next.rung.as_deref()), (None, "word", Some("cheap")));
    // The lot drew what the word was.
    (asked.word, asked.wanted) = (Word::Silent, Some(2));
    assert!(explained(&asked).runner_up.is_none());
}

#[test]
fn a_share_of_nothing_is_a_border_nowhere() {
    let mut asked = ladder(3);
    (asked.wanted, asked.chosen) = (Some(1), Some(1));
    asked.word = Word::WinRate { value: 0.5, cuts: vec![f64::NEG_INFINITY, 0.6] };
    let found = explained(&asked);
    assert_eq!(found.runner_up.unwrap().rung.as_deref(), Some("good"));
}

#[test]
fn a_number_that_is_none_has_no_other_side() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut asked = by_cuts(0.4, &[0.3, 0.45], &[]);
        asked.word = Word::WinRate { value, cuts: vec![0.3, 0.45] };
        let found = explained(&asked);
        assert!(found.runner_up.is_none() && found.changes.is_empty(), "{value}");
    }
    assert_eq!(explained(&ladder(3)).candidates.len(), 3);
    assert!(explained(&Asked::default()).candidates.is_empty());
}

fn ascending(n: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![0.0..=1.0, Just(0.5)], n).prop_map(|mut cuts| {
        cuts.sort_by(f64::total_cmp);
        cuts
    })
}

proptest! {
    #[test]
    fn the_thresholds_that_are_named_lead_where_they_are_said_to(
        value in prop_oneof![0.0..=1.0, Just(0.5), Just(0.0), Just(1.0)],
        cuts in (1_usize..4).prop_flat_map(ascending),
        barred in prop::collection::vec(any::<bool>(), 4),
    ) {
        let barred: Vec<usize> = (0..=cuts.len()).filter(|rung| barred[*rung]).collect();
        prop_assume!(barred.len() <= cuts.len());
        let asked = by_cuts(value, &cuts, &barred);
        let found = explained(&asked);
        for change in &found.changes {
            prop_assert!(change.thresholds.is_sorted(), "{:?}", change);
            prop_assert!(change.thresholds.iter().all(|cut| (0.0..=1.0).contains(cut)));
            let rung = asked.settled(level(value, &change.thresholds)).unwrap();
            prop_assert_eq!(&asked.rungs[rung].name, &change.rung, "{:?}", change);
            prop_assert_ne!(Some(rung), asked.chosen);
        }
        // Barring nothing, a neighbour is always to be had inside 0..=1.
        if barred.is_empty() && value > 0.0 && value < 1.0 {
            prop_assert!(!found.changes.is_empty());
        }
        if let Some(next) = &found.runner_up {
            let nearest = cuts.iter().map(|cut| (cut - value).abs()).fold(f64::INFINITY, f64::min);
            prop_assert!(next.by >= Some(nearest));
            prop_assert!(!barred.is_empty() || next.by == Some(nearest));
        }
    }

    #[test]
    fn the_shown_threshold_holds_too(value in 0.0..=1.0, cut in 0.0..=1.0) {
        let asked = by_cuts(value, &[cut], &[]);
        let found = explained(&asked);
        let Some(change) = found.changes.first() else { return Ok(()) };
        let pair = Ladder::pair("a".into(), "b".into());
        let strong = |cut| pair.by_thresholds(value, &[cut]).index == 1;
        let shown: f64 = change.sentence.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
        if change.rung.as_deref() == Some("mid") {
            prop_assert!(strong(shown), "{}", change.sentence);
        } else {
            prop_assert!(value == shown || !strong(shown), "{}", change.sentence);
        }
    }

    #[test]
    fn the_shares_that_are_named_lead_there_too(
        scores in prop::collection::vec(0.0..=1.0, 1..60), value in 0.0..=1.0, share in 0.0..=1.0,
    ) {
        let mut window = ShareWindow::default();
        for score in scores {
            window.push(score);
        }
        let pair = Ladder::pair("a".into(), "b".into());
        let strong_at = |share| pair.by_shares(&window, value, window.rank_of(value, "p"), &[share]).index == 1;
        let strong = strong_at(share);
        let mut asked = ladder(2);
        asked.chosen = Some(usize::from(strong));
        asked.word = Word::Rank { value: window.rank_of(value, "p"), shares: vec![share] };
        for change in explained(&asked).changes {
            prop_assert_eq!(strong_at(change.shares[0]), !strong, "{:?}", change);
        }
    }
}
