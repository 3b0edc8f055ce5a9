//! What happens between the products: norms, softmax, activations, rotary positions.

/// `x / 2 * (1 + erf(x / sqrt 2))`, good to 1e-7.
pub fn gelu(x: f32) -> f32 {
    // A stand-in by series; the vector version replaces it.
    let z = f64::from(x) / std::f64::consts::SQRT_2;
    (f64::from(x) * 0.5 * (1.0 + erf(z))) as f32
}

fn erf(z: f64) -> f64 {
    if z.abs() > 4.0 {
        return z.signum();
    }
    let (mut term, mut sum, mut n) = (z, z, 0.0);
    while f64::abs(term) > 1e-17 {
        n += 1.0;
        term *= -z * z / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

/// Layer norm of each row of `width` numbers, in place: `(x - mean) / sqrt(var + eps) * weight + bias`.
pub fn layer_norm(rows: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    for row in rows.chunks_mut(weight.len()) {
        let n = row.len() as f32;
        let mean = row.iter().sum::<f32>() / n;
        let var = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n;
        let scale = 1.0 / (var + eps).sqrt();
        for ((x, w), b) in row.iter_mut().zip(weight).zip(bias) {
            *x = (*x - mean) * scale * w + b;
        }
    }
}

/// Root-mean-square norm of each row of `x` into `out`: `x / sqrt(mean(x^2) + eps) * weight`.
pub fn rms_norm(x: &[f32], out: &mut [f32], weight: &[f32], eps: f32) {
    for (row, out) in x.chunks(weight.len()).zip(out.chunks_mut(weight.len())) {
        let mean = row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32;
        let scale = 1.0 / (mean + eps).sqrt();
        for ((x, out), w) in row.iter().zip(out).zip(weight) {
            *out = x * scale * w;
        }
    }
}

/// Cosines and sines of rotary positions, for heads of which the second half is turned against the first.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// A row for each position: cosines, then sines, of `position * frequency`.
    turns: Vec<f32>,
    half: usize,
}

impl Rotary {
    /// A table for positions `0..positions` of heads twice as wide as `frequencies` (radians for one position).
    pub fn new(frequencies: &[f32], positions: usize) -> Self {
        let half = frequencies.len();
        let mut turns = Vec::with_capacity(positions * 2 * half);
        for position in 0..positions {
            // The angle is rounded to f32 before the turn is taken, as the models were trained.
            let angles = frequencies.iter().map(|frequency| frequency * position as f32);
            turns.extend(angles.clone().map(f32::cos));
            turns.extend(angles.map(f32::sin));
        }
        Self { turns, half }
    }

    /// Positions in the table.
    pub fn positions(&self) -> usize {
        self.turns.len().checked_div(2 * self.half).unwrap_or(0)
    }

    /// Turns one head: `[a, b]` becomes `[a cos - b sin, b cos + a sin]`.
    pub fn turn(&self, head: &mut [f32], position: usize) {
        let (cosines, sines) = self.turns[position * 2 * self.half..][..2 * self.half].split_at(self.half);
        let (low, high) = head.split_at_mut(self.half);
        for (((a, b), cosine), sine) in low.iter_mut().zip(high).zip(cosines).zip(sines) {
            (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
        }
    }
}

/// Softmax in place, the maximum subtracted.
pub fn softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in &mut *row {
        *x = (*x - max).exp();
        sum += *x;
    }
    for x in row {
        *x /= sum;
    }
}
