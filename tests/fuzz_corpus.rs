//! Replays the fuzz corpora: what the fuzzer has found once stays found.

#[path = "../fuzz/bodies.rs"]
#[allow(missing_docs)]
mod bodies;

use std::fs;
use std::path::Path;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut seen = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is in the repository") {
        let path = entry.expect("an entry").path();
        eprintln!("{}", path.display()); // shown if the body panics
        body(&fs::read(&path).expect("a file"));
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
