//! Text to decision in Rust: one JSON line for each length, allocations counted.
//!
//!     cargo bench --bench local
//!
//! Beside it, the `tokenizers` crate on the same texts: tokenising alone, with the same vocabulary and ids.

#![allow(missing_docs, reason = "not an interface")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ferroute::routers::local::LocalModel;
use tokenizers::Tokenizer;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises hold for this call too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PROSE: &str = "The committee met on Tuesday to discuss whether the new bridge should carry trams as well as \
    cyclists, and if so, how the extra weight would change the foundations. An engineer explained that the riverbed is \
    softer than the surveys of 1987 suggested; her estimate of the cost rose from $12 million to $17.5 million. \
    Nobody asked who would pay. Could a lighter deck, built from prefabricated panels, keep the price within reach? ";

/// The first `words` words of the prose, over and over.
fn text(words: usize) -> String {
    PROSE.split_whitespace().cycle().take(words).collect::<Vec<_>>().join(" ")
}

/// Median time of one call in microseconds, and allocations in one call.
fn measure(mut call: impl FnMut()) -> (f64, usize) {
    for _ in 0..200 {
        call();
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    call();
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    // Calls are timed in groups, so that the clock's own cost does not count.
    let mut times: Vec<f64> = (0..301)
        .map(|_| {
            let start = Instant::now();
            (0..20).for_each(|_| call());
            start.elapsed().as_secs_f64() * 1e6 / 20.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], allocations)
}

fn tokenizer(model: &LocalModel<'_>) -> Tokenizer {
    let pieces = model.featuriser().table().tokenizer().vocabulary().pieces().map(|piece| {
        let before = if piece.continuation { "##" } else { "" };
        (format!("{before}{}", piece.text), piece.id.into())
    });
    let file = serde_json::json!({
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": pieces.collect::<serde_json::Map<_, _>>(),
    });
    let mut tokenizer = Tokenizer::new(serde_json::from_str::<WordPiece>(&file.to_string()).unwrap());
    let _ = tokenizer.with_normalizer(Some(BertNormalizer::default()));
    let _ = tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer
}

/// Median time to read both artefacts once they are in memory, in milliseconds.
fn load_again() -> f64 {
    let table = include_bytes!("../data/local/table.bin");
    let head = include_bytes!("../data/local/head.json");
    let mut times: Vec<f64> = (0..21)
        .map(|_| {
            let start = Instant::now();
            black_box(LocalModel::from_bytes(table, head).unwrap());
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let start = Instant::now();
    let model = LocalModel::shared().unwrap();
    let first = start.elapsed().as_secs_f64() * 1e3;
    let again = load_again();
    println!("{}", serde_json::json!({"bench": "local_load", "first_ms": first, "again_p50_ms": again}));
    let theirs = tokenizer(model);
    for words in [10, 50, 500] {
        let text = text(words);
        let threshold = black_box(0.5);
        let (decision, allocations) = measure(|| {
            black_box(model.score(black_box(&text)) >= threshold);
        });
        let mut ids = Vec::with_capacity(4096);
        let (tokenise, _) = measure(|| {
            ids.clear();
            model.featuriser().table().tokenizer().encode(black_box(&text), &mut ids);
        });
        let (crate_tokenise, crate_allocations) = measure(|| {
            black_box(theirs.encode_fast(black_box(text.as_str()), false).unwrap());
        });
        println!(
            "{}",
            serde_json::json!({
                "bench": "local", "words": words, "tokens": ids.len(),
                "decision_p50_us": decision, "allocations": allocations, "tokenise_p50_us": tokenise,
                "tokenizers_crate_p50_us": crate_tokenise, "tokenizers_crate_allocations": crate_allocations,
            })
        );
    }
}
