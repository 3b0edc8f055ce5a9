//! Attention, head by head, over the rows that one product for queries, keys and values made.
//!
//! Keys and values of a head are kept as panels of the product's tiles (see [`super::tiles`]): keys with 32 tokens side
//! by side, values with 32 numbers of a token side by side. So scores and sums are the same inner loop as a linear
//! layer, a dozen rows at a time, and only the scores of those rows are ever stored.

mod decoder;
mod encoder;

pub use decoder::{Cache, Heads, Part, decoder};
pub use encoder::encoder;

use super::kernels::Kernels;
use super::tiles::PANEL;

/// Keys and values of one head.
#[derive(Debug, Clone, Default)]
struct Head {
    /// `[panel of tokens][number][token]`; beyond the last token there may be anything.
    keys: Vec<f32>,
    /// For each panel of numbers `[token][number]`, zeros beyond the head's width.
    values: Vec<Vec<f32>>,
}

impl Head {
    fn new(width: usize) -> Self {
        Self { keys: Vec::new(), values: vec![Vec::new(); width.div_ceil(PANEL)] }
    }

    /// An empty one with room for `tokens`.
    fn of(tokens: usize, width: usize) -> Self {
        let room = || Vec::with_capacity(tokens * PANEL);
        let keys = Vec::with_capacity(tokens.next_multiple_of(PANEL) * width);
        Self { keys, values: (0..width.div_ceil(PANEL)).map(|_| room()).collect() }
    }

    /// Adds the token number `token`, the first that it does not hold.
    fn push(&mut self, token: usize, key: &[f32], value: &[f32]) {
        let (panel, column) = (token / PANEL, token % PANEL);
        let size = key.len() * PANEL;
        self.keys.resize(self.keys.len().max((panel + 1) * size), 0.0);
        for (place, &x) in self.keys[panel * size + column..].iter_mut().step_by(PANEL).zip(key) {
            *place = x;
        }
        for (values, part) in self.values.iter_mut().zip(value.chunks(PANEL)) {
            values.extend_from_slice(part);
            values.resize((token + 1) * PANEL, 0.0);
        }
    }

    fn truncate(&mut self, len: usize, width: usize) {
        self.keys.truncate(len.div_ceil(PANEL) * width * PANEL);
        self.values.iter_mut().for_each(|values| values.truncate(len * PANEL));
    }
}

/// What a task needs beside the heads; kept from one block of rows to the next.
struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
    out: Vec<f32>,
}

impl Scratch {
    fn new() -> Self {
        Self { queries: Vec::new(), scores: Vec::new(), out: Vec::new() }
    }

    /// The result of row `row` of the last block.
    fn out(&self, row: usize, width: usize) -> &[f32] {
        &self.out[row * width.next_multiple_of(PANEL)..][..width]
    }
}

/// A block of rows over the tokens of some heads (parts of one sequence, one after the other, `(head, tokens)`).
///
/// `scratch.queries` holds the rows, scaled; `seen(row)` is how many of the tokens row `row` sees, which does not fall.
fn block(
    kernels: &Kernels,
    heads: &[(&Head, usize)],
    width: usize,
    seen: impl Fn(usize) -> usize,
    scratch: &mut Scratch,
) {
    let rows = scratch.queries.len() / width;
    let tile = kernels.single[rows - 1];
    let most = seen(rows - 1);
    let (stride, out_stride) = (most + PANEL, width.next_multiple_of(PANEL));
    scratch.scores.resize(scratch.scores.len().max(rows * stride), 0.0);
    scratch.out.resize(scratch.out.len().max(rows * out_stride), 0.0);
    let (scores, out) = (scratch.scores.as_mut_ptr(), scratch.out.as_mut_ptr());
    let parts = || {
        heads.iter().scan(0, |first, &(head, tokens)| {
            let start = *first;
            *first += tokens;
            Some((head, start, tokens.min(most.saturating_sub(start))))
        })
    };
    for (head, first, tokens) in parts() {
        assert!(head.keys.len() >= tokens.div_ceil(PANEL) * width * PANEL, "keys of all tokens");
        for (index, panel) in head.keys.chunks_exact(width * PANEL).take(tokens.div_ceil(PANEL)).enumerate() {
            // What a panel writes beyond the last of its tokens is overwritten by the next part or never read.
            // SAFETY: the rows have `stride` scores, a panel more than are seen; the kernels are this processor's.
            unsafe {
                let place = scores.add(first + index * PANEL);
                tile(scratch.queries.as_ptr(), width, panel.as_ptr(), width, place, stride, false);
            }
        }
    }
    for row in 0..rows {
        let (start, seen) = (row * stride, seen(row));
        // SAFETY: as above.
        unsafe {
            (kernels.softmax)(scores.add(start), seen);
            scores.add(start + seen).write_bytes(0, most - seen);
        }
    }
    for panel in 0..width.div_ceil(PANEL) {
        for (head, first, tokens) in parts() {
            let values = &head.values[panel];
            assert!(values.len() >= tokens * PANEL, "values of all tokens");
            // SAFETY: as above; rows of `out` have whole panels.
            unsafe {
                let (scores, out) = (scores.add(first), out.add(panel * PANEL));
                tile(scores, stride, values.as_ptr(), tokens, out, out_stride, first > 0);
            }
        }
    }
}

#[cfg(test)]
mod testing {
    pub(super) fn wide(x: &[f32]) -> Vec<f64> {
        x.iter().map(|&x| f64::from(x)).collect()
    }

    /// One query over keys and values, in f64.
    pub(super) fn reference(query: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>]) -> Vec<f64> {
        let scale = 1.0 / (query.len() as f64).sqrt();
        let scores: Vec<f64> =
            keys.iter().map(|k| k.iter().zip(query).map(|(k, q)| k * q).sum::<f64>() * scale).collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let e: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
        let sum: f64 = e.iter().sum();
        (0..query.len()).map(|i| values.iter().zip(&e).map(|(v, e)| v[i] * e / sum).sum()).collect()
    }

    pub(super) fn close(found: &[f32], wanted: &[f64], what: &str) {
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((f64::from(*found) - wanted).abs() < 2e-5, "{what}: {found} is not {wanted}");
        }
    }
}
