//! From a text to numbers: the part of the router `local` that needs no training.

use std::cell::RefCell;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::math::threads;

use super::lexical::{self, Counts, Lexicon};
use super::table::{DIM, MAX_IDS, Table};

/// How many features a text has: the embedding, then the lexical ones.
pub const FEATURES: usize = DIM + lexical::COUNT;

/// Longer texts are read at both ends only: this many bytes of the beginning...
const HEAD_BYTES: usize = 12 * 1024;
/// ...and this many of the end, where the instruction often stands. The length counts in full.
const TAIL_BYTES: usize = 4 * 1024;
/// Texts a thread takes at a time.
const BATCH: usize = 64;

static TABLE_FILE: &[u8] = include_bytes!("../../data/local/table.bin");

/// Both groups of features of one text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features {
    /// Mean of the token rows, of length 1; zeros for a text without tokens.
    pub embedding: [f32; DIM],
    /// In the order of [`lexical::NAMES`].
    pub lexical: [f32; lexical::COUNT],
}

/// Tokenizer, table and lexicon.
#[derive(Debug, Clone)]
pub struct Featuriser<'a> {
    table: Table<'a>,
    lexicon: Lexicon,
}

impl Featuriser<'static> {
    /// The one in this binary, read on first use (under a millisecond).
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Featuriser<'static>>> = OnceLock::new();
        kept(SHARED.get_or_init(|| Featuriser::from_bytes(TABLE_FILE)))
    }
}

impl<'a> Featuriser<'a> {
    /// Reads a table in the format of `scripts/build_table.py`, in place.
    ///
    /// # Errors
    /// [`Kind::Checkpoint`](crate::Kind::Checkpoint) when it is damaged.
    pub fn from_bytes(table: &'a [u8]) -> Result<Self> {
        let table = Table::from_bytes(table)?;
        let lexicon = Lexicon::new(table.tokenizer().vocabulary());
        Ok(Self { table, lexicon })
    }

    /// The rows behind the embedding.
    pub fn table(&self) -> &Table<'a> {
        &self.table
    }

    /// What each id means to the lexical features.
    pub(crate) fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// `WordPiece` ids of the whole text, without special tokens.
    pub fn tokenize(&self, text: &str) -> Vec<u16> {
        let mut ids = Vec::with_capacity(text.len() / 4);
        self.table.tokenizer().encode(text, &mut ids);
        ids
    }

    /// The features of a text. One of more than 16 KiB is read at both ends only.
    ///
    /// Nothing is allocated for ASCII once this thread has done it before.
    pub fn features(&self, text: &str) -> Features {
        self.with_ids(text, |_, features| features)
    }

    /// The embedding alone, which is most of the features' worth for half their time.
    pub fn embedding(&self, text: &str) -> [f32; DIM] {
        with_buffer(|ids| {
            for part in ends(text) {
                self.table.tokenizer().encode(part, ids);
            }
            self.table.embed(ids)
        })
    }

    /// Hands the ids that were read, and the features, to `work`.
    pub(crate) fn with_ids<T>(&self, text: &str, work: impl FnOnce(&[u16], Features) -> T) -> T {
        with_buffer(|ids| {
            let features = self.read(text, ids);
            work(ids, features)
        })
    }

    fn read(&self, text: &str, ids: &mut Vec<u16>) -> Features {
        let mut counts = Counts::default();
        let [head, tail] = ends(text);
        for part in [head, tail] {
            self.table.tokenizer().encode(part, ids);
            counts.read_text(part);
        }
        counts.read_ids(ids, &self.lexicon);
        Features { embedding: self.table.embed(ids), lexical: counts.features(text.len()) }
    }

    /// The features of each text on up to `threads` threads: one row of [`FEATURES`] numbers after the other.
    pub fn features_batch<T: AsRef<str> + Sync>(&self, texts: &[T], threads: usize) -> Vec<f32> {
        let mut rows = vec![0.0; texts.len() * FEATURES];
        for_each_row(texts, &mut rows, FEATURES, threads, |text, row| {
            let features = self.features(text.as_ref());
            row[..DIM].copy_from_slice(&features.embedding);
            row[DIM..].copy_from_slice(&features.lexical);
        });
        rows
    }
}

/// Names of the features: `embedding_0` to `embedding_63`, then [`lexical::NAMES`].
pub fn feature_names() -> impl Iterator<Item = String> {
    (0..DIM).map(|i| format!("embedding_{i}")).chain(lexical::NAMES.into_iter().map(str::to_owned))
}

/// Runs `work` with this thread's buffer for ids, empty.
fn with_buffer<T>(work: impl FnOnce(&mut Vec<u16>) -> T) -> T {
    thread_local! {
        static IDS: RefCell<Vec<u16>> = RefCell::new(Vec::with_capacity(MAX_IDS));
    }
    IDS.with_borrow_mut(|ids| {
        ids.clear();
        work(ids)
    })
}

/// All of a text, or its two ends.
fn ends(text: &str) -> [&str; 2] {
    if text.len() <= HEAD_BYTES + TAIL_BYTES {
        return [text, ""];
    }
    let (mut head, mut tail) = (HEAD_BYTES, text.len() - TAIL_BYTES);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    [&text[..head], &text[tail..]]
}

/// Fills `out`, `width` numbers for each text, on up to `threads` threads (0 counts as 1).
pub(crate) fn for_each_row<T, N, F>(texts: &[T], out: &mut [N], width: usize, threads: usize, fill: F)
where
    T: Sync,
    N: Send,
    F: Fn(&T, &mut [N]) + Sync,
{
    let fill_all = |texts: &[T], rows: &mut [N]| {
        for (text, row) in texts.iter().zip(rows.chunks_exact_mut(width)) {
            fill(text, row);
        }
    };
    // Texts differ in length by orders of magnitude, so threads come back for more instead of getting equal shares.
    let work = std::sync::Mutex::new(texts.chunks(BATCH).zip(out.chunks_mut(BATCH * width)));
    let next = || work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    threads::share(threads.min(texts.len().div_ceil(BATCH)), || {
        while let Some((texts, rows)) = next() {
            fill_all(texts, rows);
        }
    });
}

/// What a `OnceLock` holds, as a result of its own.
pub(crate) fn kept<T>(result: &'static Result<T>) -> Result<&'static T> {
    result.as_ref().map_err(|error| Error::new(error.kind(), error.message()))
}
