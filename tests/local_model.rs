//! The embedded router: its artefacts, its invariants, and the first impression it makes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test should stop")]

use ferroute::Kind;
use ferroute::routers::local::LocalModel;
use ferroute::text::featuriser::{FEATURES, Featuriser, feature_names};
use ferroute::text::{lexical, table};
use proptest::prelude::*;

static TABLE: &[u8] = include_bytes!("../data/local/table.bin");
static HEAD: &[u8] = include_bytes!("../data/local/head.json");

fn model() -> &'static LocalModel<'static> {
    LocalModel::shared().unwrap()
}

#[test]
fn ships_within_its_share_of_the_wheel() {
    assert!(TABLE.len() + HEAD.len() <= 2_500_000);
    assert_eq!(model().featuriser().table().tokenizer().vocabulary().len(), 30_522);
    assert_eq!(model().quantiles().len(), 100);
    assert!(model().card().contains("MT-Bench"));
}

/// Every word the lexical features know is a piece of the vocabulary, or it would never count.
#[test]
fn words_of_the_lexicon_are_pieces() {
    let vocabulary = model().featuriser().table().tokenizer().vocabulary();
    for (kind, words) in lexical::WORD_KINDS {
        for word in words.split_whitespace() {
            assert!(vocabulary.id(word).is_some(), "{kind}: {word}");
        }
    }
}

fn lexical_of(text: &str) -> impl Fn(&str) -> f32 + use<> {
    let features = model().featuriser().features(text).lexical;
    move |name| features[lexical::NAMES.iter().position(|n| *n == name).unwrap()]
}

fn log(n: f32) -> f32 {
    n.ln_1p()
}

#[test]
fn lexical_features_count_what_they_say() {
    let text = "Which is right?\nA. x = 12, or\nB. y < 3.5\n    def f(a): return a[0];\nProve it, please!";
    let get = lexical_of(text);
    let near = |name: &str, want: f32| {
        let got = get(name);
        assert!((got - want).abs() < 1e-5, "{name}: {got}, expected {want}");
    };
    near("log_bytes", log(text.len() as f32));
    near("log_lines", log(4.0));
    near("log_choices", log(2.0));
    near("log_indented_lines", log(1.0));
    near("log_questions", log(1.0));
    near("ends_in_question", 0.0);
    near("log_exclamations", log(1.0));
    near("log_numbers", log(4.0)); // 12, 3, 5, 0
    near("log_maths_marks", log(2.0));
    near("log_code_marks", log(3.0));
    near("log_brackets", log(2.0));
    near("log_commas", log(2.0));
    near("words_prove", log(1.0));
    near("words_social", log(1.0));
    near("words_what", log(1.0));
    near("other_script_share", 0.0);
    assert!(lexical_of("Really? ")("ends_in_question") > 0.5);
    assert!((lexical_of("日本")("other_script_share") - 1.0).abs() < 1e-6);
    // Counters of eight bits are emptied in time.
    let many = lexical_of(&"=".repeat(1000));
    assert!((many("log_maths_marks") - log(1000.0)).abs() < 1e-4);
    assert!((many("maths_share") - 1.0).abs() < 1e-6);
}

#[test]
fn embedding_is_the_direction_of_the_mean() {
    let featuriser = model().featuriser();
    let table = featuriser.table();
    let ids = featuriser.tokenize("What is the capital of France?");
    let mut sum = [0.0f64; table::DIM];
    for &id in &ids {
        for (sum, entry) in sum.iter_mut().zip(table.row(id)) {
            *sum += f64::from(entry);
        }
    }
    let norm = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    for (got, want) in featuriser.features("What is the capital of France?").embedding.iter().zip(sum) {
        assert!((f64::from(*got) - want / norm).abs() < 1e-6);
    }
    assert!(featuriser.features("").embedding.iter().all(|x| *x == 0.0));
}

#[test]
fn long_texts_are_read_at_both_ends() {
    let middle = "word ".repeat(2_000_000);
    let start = std::time::Instant::now();
    let score = model().score(&middle);
    assert!((0.0..=1.0).contains(&score));
    assert!(start.elapsed().as_millis() < 50, "the work must be bounded");
    let with_end = format!("{middle}Prove the theorem.");
    assert!((model().score(&with_end) - score).abs() > 1e-6, "the end is read");
    // Cuts fall between characters.
    for shift in 0..4 {
        let text = format!("{}{}", "a".repeat(shift), "漢é😀".repeat(4000));
        assert!((0.0..=1.0).contains(&model().score(&text)));
    }
}

#[test]
fn batch_equals_single_on_any_number_of_threads() {
    let texts: Vec<String> = (0..500).map(|i| format!("prompt {i} {}", "why? ".repeat(i % 90))).collect();
    let single: Vec<f64> = texts.iter().map(|text| model().score(text)).collect();
    for threads in [0, 1, 2, 3, 16] {
        assert_eq!(model().score_batch(&texts, threads), single, "{threads} threads");
        let rows = model().featuriser().features_batch(&texts, threads);
        assert_eq!(rows.len(), texts.len() * FEATURES);
        let last = model().featuriser().features(&texts[499]);
        assert_eq!(rows[499 * FEATURES..][..table::DIM], last.embedding);
        assert_eq!(rows[499 * FEATURES + table::DIM..], last.lexical);
    }
    assert!(model().score_batch::<String>(&[], 4).is_empty());
    assert_eq!(feature_names().count(), FEATURES);
}

#[test]
fn explanation_adds_up_to_the_score() {
    for text in ["", "hello", "Prove that 2 + 2 = 4 in Peano arithmetic, unfathomably.", "naïve café"] {
        let terms = model().explain(text);
        let logit = terms.iter().map(|term| term.logit).sum::<f64>();
        let score = 1.0 / (1.0 + (-logit).exp());
        assert!((score - model().score(text)).abs() < 1e-6, "{text}: {score} against {}", model().score(text));
        assert!(terms.is_sorted_by(|a, b| a.logit.abs() >= b.logit.abs()));
    }
}

#[test]
fn damaged_artefacts_are_errors() {
    let broken = |at: usize, byte: u8| {
        let mut table = TABLE.to_vec();
        table[at] = byte;
        Featuriser::from_bytes(&table).err().map(|error| (error.kind(), error.message().to_owned()))
    };
    assert!(broken(40, TABLE[40]).is_none());
    for (at, byte, says) in [
        (0, b'X', "magic"),
        (7, 2, "magic"),
        (12, 32, "dimensions"),
        (16, 15, "bytes"),
        (16, 40, "bucket bits"),
        (8, 0, "bytes"),
        (32, 9, "buckets"),
        (36, 255, "bucket 0"),
    ] {
        let (kind, message) = broken(at, byte).unwrap_or_else(|| panic!("byte {at} = {byte} was accepted"));
        assert_eq!(kind, Kind::Checkpoint);
        assert!(message.contains(says), "byte {at}: {message}");
    }
    for length in [0, 8, 31, 32, 1000, TABLE.len() - 1] {
        assert_eq!(Featuriser::from_bytes(&TABLE[..length]).unwrap_err().kind(), Kind::Checkpoint);
    }

    let head = std::str::from_utf8(HEAD).unwrap();
    assert!(LocalModel::from_bytes(TABLE, HEAD).is_ok());
    for (from, to, says) in [
        ("\"format\": 1", "\"format\": 2", "format 1"),
        ("log_bytes", "log_bites", "lexical features"),
        ("\"bias\": ", "\"bias\": 1e9, \"x\": ", "unknown field"),
        ("\"quantiles\": [", "\"quantiles\": [\n 2.0,", "rising"),
        ("\"embedding\": [", "\"embedding\": [\n 0.5,", "65"),
        ("\"embedding_if_short\": [", "\"embedding_if_short\": [\n 0.5,", "65"),
        ("}", "", "damaged"),
    ] {
        assert!(head.contains(from));
        let error = LocalModel::from_bytes(TABLE, head.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(error.kind(), Kind::Checkpoint);
        assert!(error.message().contains(says), "{error}");
    }
}

#[derive(serde::Deserialize)]
struct FirstImpression {
    easy: Vec<String>,
    hard: Vec<String>,
}

#[test]
fn everyday_prompts_score_below_hard_ones() {
    let set: FirstImpression = serde_json::from_str(include_str!("goldens/first_impression.json")).unwrap();
    let trained = include_str!("../data/everyday.jsonl");
    let score = |prompts: &[String]| {
        let mut scores: Vec<_> = prompts.iter().map(|prompt| (model().score(prompt), prompt.clone())).collect();
        scores.sort_by(|a, b| a.0.total_cmp(&b.0));
        scores
    };
    for prompt in set.easy.iter().chain(&set.hard) {
        assert!(!trained.contains(&serde_json::to_string(prompt).unwrap()), "{prompt:?} is in the training data");
    }
    let (easy, hard) = (score(&set.easy), score(&set.hard));
    let (highest, lowest) = (easy.last().unwrap(), &hard[0]);
    assert!(highest.0 < lowest.0, "easy {highest:?} is not below hard {lowest:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_has_a_finite_score(text in any::<String>()) {
        let score = model().score(&text);
        prop_assert!((0.0..=1.0).contains(&score));
        let features = model().featuriser().features(&text);
        prop_assert!(features.embedding.iter().chain(&features.lexical).all(|x| x.is_finite() && x.abs() <= 60.0));
        prop_assert_eq!(features, model().featuriser().features(&text));
    }

    /// Random bytes in place of the artefact: an error or a working table, never a panic.
    #[test]
    fn any_bytes_are_survived(at in 8usize..400_000, bytes in prop::collection::vec(any::<u8>(), 1..8)) {
        let mut table = TABLE.to_vec();
        table[at..at + bytes.len()].copy_from_slice(&bytes);
        if let Ok(featuriser) = Featuriser::from_bytes(&table) {
            let features = featuriser.features("Hello, wörld! antidisestablishmentarianism");
            prop_assert!(features.embedding.iter().all(|x| x.is_finite()));
        }
    }
}
