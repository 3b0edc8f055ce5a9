//! A linear layer whose weights are packed once: `out = then(x W^T + b)`.

use half::bf16;

use super::crew::Crew;

/// Weights as a checkpoint stores them: `[outputs, inputs]`, C order, little endian, at any alignment.
#[derive(Debug, Clone, Copy)]
pub enum Stored<'a> {
    /// 4 bytes a number.
    F32(&'a [u8]),
    /// 2 bytes a number; they stay 2 bytes in memory.
    Bf16(&'a [u8]),
}

/// How activations enter a product with bf16 weights.
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
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
    /// Two layers side by side whose results are combined as `silu(gate) * up`.
    gated: bool,
}

impl Linear {
    /// Packs weights `[outputs, inputs]`.
    pub fn new(weights: Stored, bias: Option<&[f32]>, inputs: usize) -> Self {
        let weights = widen(weights);
        let outputs = weights.len() / inputs.max(1);
        Self { weights, bias: bias.map(<[f32]>::to_vec), inputs, outputs, gated: false }
    }

    /// Several layers with the same input as one (query, key, value): results side by side.
    pub fn joined(weights: &[Stored], biases: Option<&[&[f32]]>, inputs: usize) -> Self {
        let weights: Vec<f32> = weights.iter().flat_map(|&part| widen(part)).collect();
        let outputs = weights.len() / inputs.max(1);
        Self { weights, bias: biases.map(<[&[f32]]>::concat), inputs, outputs, gated: false }
    }

    /// A gated pair: the result is `silu(x gate^T) * (x up^T)`, of `gate`'s width.
    pub fn gated(gate: Stored, up: Stored, inputs: usize) -> Self {
        Self { gated: true, ..Self::joined(&[gate, up], None, inputs) }
    }

    /// Width of a row that goes in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Width of a row that comes out.
    pub fn outputs(&self) -> usize {
        if self.gated { self.outputs / 2 } else { self.outputs }
    }

    /// `x` is `[rows, inputs]`, `out` is `[rows, outputs]`. Every row's result is the same however many rows there are.
    pub fn apply(&self, crew: &Crew, precision: Precision, x: &[f32], out: &mut [f32], then: Then) {
        let _ = crew;
        for (row, (x, out_row)) in x.chunks(self.inputs).zip(out.chunks_mut(self.outputs())).enumerate() {
            let product = |output: usize| {
                let weights = &self.weights[output * self.inputs..][..self.inputs];
                let sum: f32 = weights.iter().zip(x).map(|(w, &x)| w * rounded(x, precision)).sum();
                sum + self.bias.as_ref().map_or(0.0, |bias| bias[output])
            };
            let width = out_row.len();
            for (output, value) in out_row.iter_mut().enumerate() {
                let sum = product(output);
                *value = match then {
                    _ if self.gated => sum / (1.0 + (-sum).exp()) * product(width + output),
                    Then::Store => sum,
                    Then::Gelu => super::ops::gelu(sum),
                    Then::Tanh => sum.tanh(),
                    Then::Add(residual) => sum + residual[row * width + output],
                };
            }
        }
    }
}

fn rounded(x: f32, precision: Precision) -> f32 {
    if precision == Precision::Bf16 { bf16::from_f32(x).to_f32() } else { x }
}

fn widen(weights: Stored) -> Vec<f32> {
    match weights {
        Stored::F32(bytes) => bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        Stored::Bf16(bytes) => bytes.as_chunks::<2>().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
    }
}
