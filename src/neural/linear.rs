//! A linear layer whose weights are packed once: `out = then(x W^T + b)`.
//!
//! Packed means: cut into panels of 32 outputs, each panel holding the weights in the order in which the inner loop
//! reads them (see [`super::tiles`]). Panels are the tasks of the crew; a panel is multiplied with all rows while it
//! is in the cache, and bias and activation are applied while the sums are.

use std::borrow::Cow;

use super::crew::{Crew, Pointer};
use super::kernels::{BEST, Kernels, Tile};
use super::memory::Memory;
use super::tiles::{End, Finish, MOST_ROWS, PANEL};

/// Weights as a checkpoint stores them: `[outputs, inputs]`, C order, little endian, at any alignment.
#[derive(Debug, Clone, Copy)]
pub enum Stored<'a> {
    /// 4 bytes a number.
    F32(&'a [u8]),
    /// 2 bytes a number; they stay 2 bytes in memory.
    Bf16(&'a [u8]),
}

impl<'a> Stored<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Self::F32(bytes) | Self::Bf16(bytes) => bytes,
        }
    }

    /// Bytes of a number.
    fn size(self) -> usize {
        match self {
            Self::F32(_) => 4,
            Self::Bf16(_) => 2,
        }
    }
}

/// How activations enter a product with bf16 weights. With f32 weights they always stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Weights are widened, activations stay f32.
    F32,
    /// Activations are rounded to bf16 and multiplied with `dpbf16` where the processor has it; sums are f32.
    Bf16,
}

/// What happens to a product before it is stored.
#[derive(Debug, Clone, Copy)]
pub enum Then<'a> {
    /// Nothing.
    Store,
    /// GELU, with the error function.
    Gelu,
    /// Hyperbolic tangent.
    Tanh,
    /// Adds a residual of the shape of the result.
    Add(&'a [f32]),
}

/// A linear layer.
#[derive(Debug)]
pub struct Linear {
    /// Panels, each `[steps, PANEL]` numbers (f32) or pairs of neighbours (bf16). Of a gated pair, the panels of gate
    /// and up take turns.
    panels: Memory,
    /// With zeros up to a whole panel.
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
    /// Weights are pairs of bf16.
    bf16: bool,
    /// Two layers side by side whose results are combined as `silu(gate) * up`.
    gated: bool,
}

/// Work that is worth handing to another thread: bytes of weights that are read from memory, times the rows they
/// are multiplied with, at some 16 bytes a nanosecond.
const WORTH: usize = 256 << 10;

/// Packed bytes from which on several threads pack them.
const LARGE: usize = 4 << 20;

impl Linear {
    /// Packs weights `[outputs, inputs]`.
    pub fn new(weights: Stored, bias: Option<&[f32]>, inputs: usize) -> Self {
        Self::pack(&[weights], bias.map(<[f32]>::to_vec), inputs, false)
    }

    /// Several layers with the same input as one (query, key, value): results side by side.
    ///
    /// # Panics
    /// If their numbers are not of one kind.
    pub fn joined(weights: &[Stored], biases: Option<&[&[f32]]>, inputs: usize) -> Self {
        Self::pack(weights, biases.map(<[&[f32]]>::concat), inputs, false)
    }

    /// A gated pair: the result is `silu(x gate^T) * (x up^T)`, of `gate`'s width.
    ///
    /// # Panics
    /// If their shapes or kinds of numbers differ.
    pub fn gated(gate: Stored, up: Stored, inputs: usize) -> Self {
        assert_eq!(gate.bytes().len(), up.bytes().len(), "gate and up have one shape");
        Self::pack(&[gate, up], None, inputs, true)
    }

    fn pack(parts: &[Stored], bias: Option<Vec<f32>>, inputs: usize, gated: bool) -> Self {
        let size = parts.first().map_or(4, |part| part.size());
        assert!(parts.iter().all(|part| part.size() == size), "joined weights are of one kind");
        let row = inputs * size;
        // Rows of all parts; of a gated pair, 32 rows of each in turn.
        let mut rows: Vec<&[u8]> = Vec::new();
        if row > 0 {
            let all = |part: &Stored<'_>| part.bytes().len() / row;
            if gated {
                let [gate, up] = [parts[0], parts[1]].map(Stored::bytes);
                for (gate, up) in gate.chunks(row * PANEL).zip(up.chunks(row * PANEL)) {
                    for part in [gate, up] {
                        let before = rows.len();
                        rows.extend(part.chunks_exact(row));
                        rows.resize(before + PANEL, &[]);
                    }
                }
            } else {
                rows.reserve_exact(parts.iter().map(all).sum());
                rows.extend(parts.iter().flat_map(|part| part.bytes().chunks_exact(row)));
            }
        }
        let outputs = if gated { parts[0].bytes().len() / row.max(1) } else { rows.len() };
        let steps = row.div_ceil(4);
        let mut panels = Memory::zeros(rows.len().div_ceil(PANEL) * steps * PANEL * 4);
        let (panel, threads) = (steps * PANEL * 4, if panels.bytes().len() < LARGE { Some(1) } else { None });
        Crew::with(threads, |crew| {
            crew.chunks(panels.bytes_mut(), panel, |first, place| {
                let first = first / panel * PANEL;
                pack_panel(&rows[first..rows.len().min(first + PANEL)], place);
            });
        });
        let bias = bias.map(|mut bias| {
            bias.resize(outputs.next_multiple_of(PANEL), 0.0);
            bias
        });
        Self { panels, bias, inputs, outputs, bf16: size == 2, gated }
    }

    /// Width of a row that goes in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Width of a row that comes out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        self.panels.bytes().len()
    }

    /// `x` is `[rows, inputs]`, `out` is `[rows, outputs]`. Every row's result is the same however many rows there are.
    ///
    /// # Panics
    /// If lengths do not fit each other.
    pub fn apply(&self, crew: &Crew, precision: Precision, x: &[f32], out: &mut [f32], then: Then) {
        self.apply_with(*BEST, crew, precision, x, out, then);
    }

    fn apply_with(
        &self,
        kernels: &'static Kernels,
        crew: &Crew,
        precision: Precision,
        x: &[f32],
        out: &mut [f32],
        then: Then,
    ) {
        if self.outputs == 0 {
            return assert!(out.is_empty(), "a layer without outputs");
        }
        let rows = out.len() / self.outputs;
        assert!(out.len() == rows * self.outputs && x.len() == rows * self.inputs, "x and out have the same rows");
        let (end, residual) = match then {
            Then::Store if self.gated => (End::Gate, None),
            Then::Store => (End::Store, None),
            Then::Gelu => (End::Gelu, None),
            Then::Tanh => (End::Tanh, None),
            Then::Add(residual) => (End::Add, Some(residual)),
        };
        assert!(!self.gated || matches!(then, Then::Store), "a gated pair is stored as it is");
        assert!(residual.is_none_or(|residual| residual.len() == out.len()), "a residual has the result's shape");
        if rows == 0 {
            return;
        }
        let product = Product { layer: self, kernels, rows, end, residual, out: Pointer(out.as_mut_ptr()) };
        if !self.bf16 {
            product.run(crew, kernels.single, x);
        } else if precision == Precision::F32 {
            product.run(crew, kernels.widened, pairs(&even(x, self.inputs)));
        } else if let Some(dotted) = kernels.dotted {
            let width = self.inputs.next_multiple_of(2);
            let mut rounded = vec![0; rows * width];
            crew.chunks(&mut rounded, width * SOME_ROWS, |first, chunk| {
                let x = x[first / width * self.inputs..].chunks(self.inputs.max(1));
                for (x, out) in x.zip(chunk.chunks_exact_mut(width)) {
                    // SAFETY: these kernels are among those that the processor can run.
                    unsafe { (kernels.round)(x, out) }
                }
            });
            product.run(crew, dotted, pairs(&rounded));
        } else {
            let mut rounded = vec![0; x.len()];
            // SAFETY: as above.
            unsafe { (kernels.round)(x, &mut rounded) }
            let rounded: Vec<f32> = rounded.into_iter().map(|bits| f32::from_bits(u32::from(bits) << 16)).collect();
            product.run(crew, kernels.widened, pairs(&even(&rounded, self.inputs)));
        }
    }
}

/// Rows that are rounded in one task.
const SOME_ROWS: usize = 16;

/// Rows of an even width; an odd one gets a zero at its end.
fn even(x: &[f32], width: usize) -> Cow<'_, [f32]> {
    if width.is_multiple_of(2) {
        return Cow::Borrowed(x);
    }
    Cow::Owned(x.chunks(width).flat_map(|row| row.iter().copied().chain([0.0])).collect())
}

fn pairs<T>(x: &[T]) -> &[[T; 2]] {
    x.as_chunks().0
}

/// Transposes up to 32 rows into a panel of 4-byte steps; what is missing stays zero.
fn pack_panel(rows: &[&[u8]], panel: &mut [u8]) {
    /// Steps at a time, so that what is written stays in the nearest cache.
    const STEPS: usize = 64;
    for (block, places) in panel.chunks_mut(STEPS * PANEL * 4).enumerate() {
        for (column, row) in rows.iter().enumerate() {
            let row = row.get(block * STEPS * 4..).unwrap_or_default();
            let (steps, rest) = row[..row.len().min(STEPS * 4)].as_chunks::<4>();
            let mut places = places[column * 4..].chunks_mut(PANEL * 4);
            for (step, place) in steps.iter().zip(places.by_ref()) {
                place[..4].copy_from_slice(step);
            }
            // The last of an odd number of bf16 has no neighbour.
            if let Some(place) = places.next().filter(|_| !rest.is_empty()) {
                place[..rest.len()].copy_from_slice(rest);
            }
        }
    }
}

/// One product, ready to be run.
struct Product<'a> {
    layer: &'a Linear,
    kernels: &'static Kernels,
    rows: usize,
    end: End,
    residual: Option<&'a [f32]>,
    out: Pointer<f32>,
}

impl Product<'_> {
    /// `x` holds the rows as the kernels take them: one or two inputs a step.
    fn run<X: Copy + Sync, W: Copy>(&self, crew: &Crew, tiles: &[Tile<X, W>], x: &[X]) {
        let layer = self.layer;
        let steps = x.len() / self.rows;
        let twice = 1 + usize::from(layer.gated);
        let (count, bytes) = (layer.outputs.div_ceil(PANEL), steps * PANEL * size_of::<W>() * twice);
        assert!(layer.bytes() == count * bytes && size_of::<W>() == 4, "panels have the steps of the rows");
        // Panels next to each other go to one thread, so that memory is read in long runs.
        let worth = WORTH.div_ceil((bytes * self.rows.div_ceil(4)).max(1));
        let chunk = worth.max(count.div_ceil(crew.threads() * 8)).min(count);
        crew.run(count.div_ceil(chunk), |task| {
            for panel in task * chunk..count.min((task + 1) * chunk) {
                // SAFETY: the assertion above; every task has columns of its own.
                unsafe { self.panel(tiles, x, steps, panel) }
            }
        });
    }

    /// All rows by one panel (or a gate's and its partner).
    ///
    /// # Safety
    /// The layer has the panel, of `steps` steps as the rows of `x`, and no other thread has its columns.
    unsafe fn panel<X: Copy, W: Copy>(&self, tiles: &[Tile<X, W>], x: &[X], steps: usize, panel: usize) {
        let layer = self.layer;
        let size = steps * PANEL;
        let weights = layer.panels.bytes().as_ptr().cast::<W>();
        let column = panel * PANEL;
        let mut sums = [0.0_f32; MOST_ROWS * PANEL];
        let mut ups = [0.0_f32; MOST_ROWS * PANEL];
        let blocks = self.rows.div_ceil(tiles.len());
        for block in 0..blocks {
            // Blocks of nearly one size: tiles of few rows are less efficient.
            let (first, end) = (self.rows * block / blocks, self.rows * (block + 1) / blocks);
            let tile = tiles[end - first - 1];
            // SAFETY: the caller's promise; rows `first..end` are in `x` and `out`; a tile has at most `MOST_ROWS`.
            unsafe {
                let x = x.as_ptr().add(first * steps);
                if layer.gated {
                    tile(x, steps, weights.add(2 * panel * size), steps, sums.as_mut_ptr(), PANEL, false);
                    tile(x, steps, weights.add((2 * panel + 1) * size), steps, ups.as_mut_ptr(), PANEL, false);
                } else {
                    tile(x, steps, weights.add(panel * size), steps, sums.as_mut_ptr(), PANEL, false);
                }
                let place = first * layer.outputs + column;
                (self.kernels.finish)(
                    &mut sums,
                    &ups,
                    &Finish {
                        rows: end - first,
                        columns: PANEL.min(layer.outputs - column),
                        end: self.end,
                        bias: layer.bias.as_ref().map(|bias| &bias[column..column + PANEL]),
                        residual: self.residual.map_or(std::ptr::null(), |residual| residual.as_ptr().add(place)),
                        out: self.out.at(place),
                        stride: layer.outputs,
                    },
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
