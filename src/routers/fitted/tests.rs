use super::file::About;
use super::*;
use crate::error::Kind;

fn recipe(width: usize) -> Recipe {
    let len = 2 * (width + lexical::COUNT);
    Recipe::new(width, vec![0.1; len], vec![2.0; len]).unwrap()
}

fn about(models: usize) -> About {
    About::new((0..models).map(|i| format!("model-{i}")).collect(), 0, models - 1, None)
}

fn heads() -> Fitted {
    let recipe = recipe(DIM);
    let line = |slope: f64| Line { intercept: 0.4, alpha: slope, weights: vec![slope; recipe.len()] };
    let scorer = Scorer::Heads { lines: vec![line(0.1), line(-0.2), line(0.05)], latents: vec![line(0.3)] };
    Fitted::new(about(3), recipe, None, scorer, vec![0.1, 0.5, 0.9]).unwrap()
}

fn near() -> Fitted {
    let recipe = recipe(DIM);
    let rows: Vec<f32> = (0..7 * recipe.len()).map(|i| (i % 13) as f32 / 130.0).collect();
    let outcomes = (0..14).map(|i| (i % 3) as f32 / 2.0).collect();
    let scorer = Scorer::Neighbours(Neighbours::new(recipe.len(), 2, 3, 1.0, rows, outcomes));
    Fitted::new(about(2), recipe, None, scorer, vec![0.5]).unwrap()
}

#[test]
fn a_file_comes_back_as_it_was() {
    for router in [heads(), near()] {
        let router = router.with_card(serde_json::json!({"rows": 3, "date": "2026-11-27"}));
        let bytes = router.to_bytes().unwrap();
        let again = Fitted::from_bytes(&bytes, "here").unwrap();
        assert_eq!(again.models(), router.models());
        assert_eq!(again.about().card, router.about().card);
        assert_eq!(again.to_bytes().unwrap(), bytes);
        for text in ["", "Prove that there are infinitely many primes.", "hi"] {
            assert_eq!(again.scores(text, None).unwrap(), router.scores(text, None).unwrap());
        }
    }
}

#[test]
fn one_by_one_and_together_are_the_same() {
    let texts: Vec<String> = (0..200).map(|i| format!("Question {i}: what is {i} * {i}?")).collect();
    for router in [heads(), near()] {
        let all = router.scores_batch(&texts, None, 8).unwrap();
        let models = router.models().len();
        for (text, scores) in texts.iter().zip(all.chunks_exact(models)) {
            assert_eq!(router.scores(text, None).unwrap(), scores);
            assert_eq!(router.win_rate_of(text, None).unwrap(), router.win_rate(scores));
            assert!((0.0..=1.0).contains(&router.win_rate(scores)));
        }
    }
}

#[test]
fn terms_add_up_to_the_win_rate() {
    let router = heads();
    let Scorer::Heads { lines, .. } = router.scorer() else { panic!("heads") };
    for text in ["", "Prove that there are infinitely many primes.", "thanks!"] {
        let terms = router.explain(text, None).unwrap();
        let ahead = (lines[0].intercept - lines[2].intercept) + terms.iter().map(|term| term.part).sum::<f64>() / 2.0;
        let scores = router.scores(text, None).unwrap();
        assert!((ahead - (scores[0] - scores[2])).abs() < 1e-9);
        assert!(terms.windows(2).all(|two| two[0].part.abs() >= two[1].part.abs()));
    }
    assert!(near().explain("hi", None).unwrap().is_empty());
}

#[test]
fn damage_is_said_and_never_a_panic() {
    let whole = heads().to_bytes().unwrap();
    for cut in [0, 7, 8, 60, whole.len() / 2, whole.len() - 1] {
        assert_eq!(Fitted::from_bytes(&whole[..cut], "cut").unwrap_err().kind(), Kind::Checkpoint);
    }
    // Every byte of the beginning of the header, turned over: an error, or a file that still holds together.
    for place in 0..600 {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x15;
        if let Err(error) = Fitted::from_bytes(&bytes, "flipped") {
            assert_eq!(error.kind(), Kind::Checkpoint, "{place}: {error}");
        }
    }
    let mut bytes = whole.clone();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(Fitted::from_bytes(&bytes, "nan").is_err());
    let other = crate::data::tensors::to_bytes(&std::collections::BTreeMap::new()).unwrap();
    let error = Fitted::from_bytes(&other, "other.safetensors").unwrap_err();
    assert!(error.message().contains("holds no fitted router"), "{error}");
}

#[test]
fn a_feature_that_never_varied_says_nothing() {
    let base = DIM + lexical::COUNT;
    let mut raw = vec![0.25_f32; 20 * base];
    for (i, row) in raw.chunks_exact_mut(base).enumerate() {
        row[3] = i as f32;
    }
    let recipe = Recipe::of(&raw, DIM).unwrap();
    let mut row = vec![0.0; recipe.len()];
    let mut odd = raw[..base].to_vec();
    odd[5] = 1e6;
    recipe.fill(&odd, &mut row);
    assert_eq!(row[5], 0.0);
    assert!(row[3] < 0.0);
    let norm: f32 = row.iter().map(|x| x * x).sum();
    assert!(norm <= 4.0 + 1e-5, "{norm}");
}

#[test]
fn neighbours_speak_only_beyond_chance() {
    // Two kinds of prompts; the first model is good at one of them, by far.
    let rows: Vec<f32> = (0..40).flat_map(|i| [f32::from(u8::from(i < 20)), 0.0]).collect();
    let outcomes = (0..40).flat_map(|i| [f32::from(u8::from(i < 20)), 0.5]).collect();
    let near = Neighbours::new(2, 2, 15, 2.0, rows.clone(), outcomes);
    let mut scores = [0.0; 2];
    near.fill(&[1.0, 0.0], &mut scores);
    assert!(scores[0] - scores[1] > 0.3, "{scores:?}");
    // Without a difference to find, everybody gets the means.
    let outcomes = (0..40).flat_map(|i| [f32::from(u8::from(i % 2 == 0)), 0.5]).collect();
    let near = Neighbours::new(2, 2, 15, 2.0, rows, outcomes);
    near.fill(&[1.0, 0.0], &mut scores);
    assert!(scores.iter().all(|score| (score - 0.5).abs() < 1e-12), "{scores:?}");
}
