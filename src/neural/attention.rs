//! Attention, head by head, over the rows that one product for queries, keys and values made.

use super::crew::Crew;
use super::ops::{Rotary, softmax};

/// Self-attention of an encoder.
///
/// `qkv` is `[tokens, 3 * hidden]`: queries, keys and values of a token side by side. The tokens are those of several
/// sequences after each other, without padding; `lengths` sums to `tokens`. `out` is `[tokens, hidden]`. Scores are
/// divided by the square root of the width of a head, `hidden / heads`. A sequence's result does not depend on the others.
pub fn encoder(crew: &Crew, qkv: &[f32], lengths: &[usize], heads: usize, out: &mut [f32]) {
    let _ = crew;
    let tokens: usize = lengths.iter().sum();
    assert!(tokens * 3 > 0 && qkv.len().is_multiple_of(tokens * 3), "qkv is [tokens, 3 * hidden]");
    let hidden = qkv.len() / tokens / 3;
    assert!(heads > 0 && hidden.is_multiple_of(heads) && out.len() == tokens * hidden, "out is [tokens, hidden]");
    let width = hidden / heads;
    let mut first = 0;
    for &length in lengths {
        for head in 0..heads {
            for row in first..first + length {
                let query = &qkv[row * 3 * hidden + head * width..][..width];
                let at = |other: usize, part: usize| &qkv[other * 3 * hidden + part * hidden + head * width..][..width];
                let keys = (first..first + length).map(|other| at(other, 1));
                let values = (first..first + length).map(|other| at(other, 2));
                one(query, keys, values, &mut out[row * hidden + head * width..][..width]);
            }
        }
        first += length;
    }
}

fn one<'a>(
    query: &[f32],
    keys: impl Iterator<Item = &'a [f32]>,
    values: impl Iterator<Item = &'a [f32]>,
    out: &mut [f32],
) {
    let scale = 1.0 / (query.len() as f32).sqrt();
    let mut scores: Vec<f32> = keys.map(|key| key.iter().zip(query).map(|(k, q)| k * q).sum::<f32>() * scale).collect();
    softmax(&mut scores);
    out.fill(0.0);
    for (value, p) in values.zip(scores) {
        out.iter_mut().zip(value).for_each(|(out, value)| *out += p * value);
    }
}

/// The heads of a decoder's layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Heads that ask; a multiple of `keys`.
    pub queries: usize,
    /// Heads that hold keys and values, each for `queries / keys` asking heads that follow each other.
    pub keys: usize,
    /// Numbers in a head.
    pub width: usize,
}

impl Heads {
    /// Width of a row of queries, keys and values side by side.
    pub fn qkv(self) -> usize {
        (self.queries + 2 * self.keys) * self.width
    }

    /// Width of a row that comes out.
    pub fn out(self) -> usize {
        self.queries * self.width
    }
}

/// Keys (turned) and values of the tokens that one layer has seen of one sequence.
#[derive(Debug, Clone)]
pub struct Cache {
    heads: Heads,
    keys: Vec<f32>,
    values: Vec<f32>,
    len: usize,
}

impl Cache {
    /// An empty one.
    pub fn new(heads: Heads) -> Self {
        Self { heads, keys: Vec::new(), values: Vec::new(), len: 0 }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        let row = self.heads.keys * self.heads.width;
        self.keys.truncate(self.len * row);
        self.values.truncate(self.len * row);
    }

    fn row(&self, rows: &[f32], token: usize, head: usize) -> std::ops::Range<usize> {
        debug_assert!(rows.len() >= self.len * self.heads.keys * self.heads.width);
        let start = (token * self.heads.keys + head) * self.heads.width;
        start..start + self.heads.width
    }
}

/// New rows of one sequence.
#[derive(Debug)]
pub struct Part<'a> {
    /// How many rows are its.
    pub rows: usize,
    /// What it begins with, shared by several sequences and not changed.
    pub prefix: Option<&'a Cache>,
    /// What came after that; the new rows are added to it.
    pub cache: &'a mut Cache,
}

impl Part<'_> {
    /// Position of its first new row.
    pub fn position(&self) -> usize {
        self.prefix.map_or(0, Cache::len) + self.cache.len()
    }
}

/// Attention of a decoder: a token sees itself and those before it.
///
/// `qkv` is `[rows, heads.qkv()]`, the rows of the parts after each other, not turned yet; `rotary` holds all their
/// positions. `out` is `[rows, heads.out()]`. The result of a row depends neither on the other parts nor on how the
/// tokens before it are divided between prefix, cache and new rows.
pub fn decoder(crew: &Crew, heads: Heads, rotary: &Rotary, qkv: &[f32], parts: &mut [Part], out: &mut [f32]) {
    let _ = crew;
    let rows: usize = parts.iter().map(|part| part.rows).sum();
    assert!(
        qkv.len() == rows * heads.qkv() && out.len() == rows * heads.out(),
        "qkv and out have a row for each new row"
    );
    let group = heads.queries / heads.keys;
    let mut rows = qkv.chunks(heads.qkv()).zip(out.chunks_mut(heads.out()));
    for part in parts {
        for (row, out) in rows.by_ref().take(part.rows) {
            let position = part.position();
            let (query, rest) = row.split_at(heads.out());
            let (key, value) = rest.split_at(heads.keys * heads.width);
            for key in key.chunks(heads.width) {
                let mut key = key.to_vec();
                rotary.turn(&mut key, position);
                part.cache.keys.extend(key);
            }
            part.cache.values.extend(value);
            part.cache.len += 1;
            for (head, out) in out.chunks_mut(heads.width).enumerate() {
                let mut query = query[head * heads.width..][..heads.width].to_vec();
                rotary.turn(&mut query, position);
                let caches = || part.prefix.into_iter().chain([&*part.cache]);
                let tokens = |cache: &Cache| 0..cache.len;
                let of = head / group;
                let keys = caches().flat_map(|c| tokens(c).map(move |t| &c.keys[c.row(&c.keys, t, of)]));
                let values = caches().flat_map(|c| tokens(c).map(move |t| &c.values[c.row(&c.values, t, of)]));
                one(&query, keys, values, out);
            }
        }
    }
}
