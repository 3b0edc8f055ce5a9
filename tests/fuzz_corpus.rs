//! Replays the fuzz corpora: what the fuzzer has found once stays found.

#[path = "../fuzz/bodies.rs"]
#[allow(clippy::expect_used, reason = "a body may panic: that is how it says no")]
mod bodies;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of a corpus, by their names.
#[allow(clippy::expect_used, reason = "a test may panic")]
fn corpus(target: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).expect("the corpus is in the repository");
    files
        .map(|file| file.expect("an entry").path())
        .map(|path| (path.clone(), fs::read(path).expect("a file")))
        .collect()
}

fn replay(target: &str, body: fn(&[u8])) {
    let corpus = corpus(target);
    assert!(corpus.len() >= 10, "{target}: only {} files in its corpus", corpus.len());
    for (path, data) in corpus {
        let held = std::panic::catch_unwind(|| body(&data));
        assert!(held.is_ok(), "{target} does not hold on {}", path.display());
    }
}

/// Entries with bytes changed, left out, doubled and joined, the same ones each time: what a fuzzer does first, for those
/// who have none. `FERROUTE_MUTATIONS` says how many of each entry (10).
#[allow(clippy::expect_used, reason = "a test may panic")]
fn mutate(target: &str, body: fn(&[u8])) {
    let entries: Vec<Vec<u8>> = corpus(target).into_values().collect();
    let rounds = std::env::var("FERROUTE_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).expect("a size")).expect("a size")
    };
    for entry in &entries {
        for _ in 0..rounds {
            let mut data = entry.clone();
            for _ in 0..=draw(4) {
                let (from, to) = (draw(data.len()), draw(data.len()));
                match draw(5) {
                    0 if !data.is_empty() => data[from] = WORTH_TRYING[draw(WORTH_TRYING.len())],
                    1 if from < to => drop(data.drain(from..to)),
                    2 if from < to => data.extend_from_within(from..to),
                    3 => data.insert(from, WORTH_TRYING[draw(WORTH_TRYING.len())]),
                    _ => {
                        let other = &entries[draw(entries.len())];
                        data.truncate(from);
                        data.extend_from_slice(&other[draw(other.len())..]);
                    }
                }
            }
            let held = std::panic::catch_unwind(|| body(&data));
            assert!(held.is_ok(), "{target} does not hold on {:?}", data.escape_ascii().to_string());
        }
    }
}

/// Bytes that mean something in JSON, in events or in UTF-8.
const WORTH_TRYING: &[u8] = b"{}[]\",:\\\n\r 019-eE.tfn\x00\x7f\x80\xff\xef\xf0d";

#[test]
fn model_name() {
    replay("model_name", bodies::model_name);
}

#[test]
fn safetensors() {
    replay("safetensors", bodies::safetensors);
}

#[test]
fn wordpiece() {
    replay("wordpiece", bodies::wordpiece);
}

#[test]
fn rules() {
    replay("rules", bodies::rules);
    mutate("rules", bodies::rules);
}

#[test]
fn config() {
    replay("config", bodies::config);
    mutate("config", bodies::config);
}

#[test]
fn sse() {
    replay("sse", bodies::sse);
    mutate("sse", bodies::sse);
}

#[test]
fn openai_answers() {
    replay("openai_answers", bodies::openai_answers);
    mutate("openai_answers", bodies::openai_answers);
}

#[test]
fn anthropic_answers() {
    replay("anthropic_answers", bodies::anthropic_answers);
    mutate("anthropic_answers", bodies::anthropic_answers);
}

#[test]
fn gemini_answers() {
    replay("gemini_answers", bodies::gemini_answers);
    mutate("gemini_answers", bodies::gemini_answers);
}

#[test]
fn openai_bodies() {
    replay("openai_bodies", bodies::openai_bodies);
    mutate("openai_bodies", bodies::openai_bodies);
}

#[test]
fn anthropic_bodies() {
    replay("anthropic_bodies", bodies::anthropic_bodies);
    mutate("anthropic_bodies", bodies::anthropic_bodies);
}

#[test]
fn responses_bodies() {
    replay("responses_bodies", bodies::responses_bodies);
    mutate("responses_bodies", bodies::responses_bodies);
}
