//! See `bodies.rs`, which `cargo test` replays over the corpus.
#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::openai_bodies(data));
