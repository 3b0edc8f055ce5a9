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
