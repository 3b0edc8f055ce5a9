//! Replays the fuzz corpora: what the fuzzer has found once stays found.

#[path = "../fuzz/bodies.rs"]
#[allow(clippy::expect_used, reason = "a body may panic: that is how it says no")]
mod bodies;

use std::fs;
use std::path::Path;

#[allow(clippy::expect_used, reason = "a test may panic")]
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut seen = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is in the repository") {
        let path = entry.expect("an entry").path();
        let data = fs::read(&path).expect("a file");
        let held = std::panic::catch_unwind(|| body(&data));
        assert!(held.is_ok(), "{target} does not hold on {}", path.display());
        seen += 1;
    }
    assert!(seen >= 10, "{target}: only {seen} files in its corpus");
}

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
fn sse() {
    replay("sse", bodies::sse);
}

#[test]
fn openai_answers() {
    replay("openai_answers", bodies::openai_answers);
}

#[test]
fn anthropic_answers() {
    replay("anthropic_answers", bodies::anthropic_answers);
}

#[test]
fn gemini_answers() {
    replay("gemini_answers", bodies::gemini_answers);
}
