//! What happens between the products: norms, softmax, rotary positions.

use super::crew::Crew;
use super::kernels::BEST;

/// Numbers that a task of a norm takes: fewer are not worth a second thread.
const WORTH: usize = 16 << 10;

/// Layer norm of each row of `weight.len()` numbers, in place: `(x - mean) / sqrt(var + eps) * weight + bias`.
///
/// # Panics
/// If lengths do not fit each other.
pub fn layer_norm(rows: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    assert_eq!(weight.len(), bias.len(), "weight and bias have the width of a row");
    for row in rows.chunks_exact_mut(weight.len().max(1)) {
        // SAFETY: the kernels are those of this processor; row, weight and bias are of one length.
        unsafe { (BEST.layer_norm)(row.as_mut_ptr(), row.len(), weight.as_ptr(), bias.as_ptr(), eps) }
    }
}

/// [`layer_norm`], the rows shared among a crew.
pub fn layer_norm_on(crew: &Crew, rows: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    crew.chunks(rows, some_rows(weight.len()), |_, rows| layer_norm(rows, weight, bias, eps));
}

/// Root-mean-square norm of each row of `x` into `out`: `x / sqrt(mean(x^2) + eps) * weight`.
///
/// # Panics
/// If lengths do not fit each other.
pub fn rms_norm(x: &[f32], out: &mut [f32], weight: &[f32], eps: f32) {
    assert_eq!(x.len(), out.len(), "x and out have one shape");
    let width = weight.len().max(1);
    for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        // SAFETY: the kernels are those of this processor; row, out and weight are of one length.
        unsafe { (BEST.rms_norm)(row.as_ptr(), out.as_mut_ptr(), row.len(), weight.as_ptr(), eps) }
    }
}

/// [`rms_norm`], the rows shared among a crew.
///
/// # Panics
/// If lengths do not fit each other.
pub fn rms_norm_on(crew: &Crew, x: &[f32], out: &mut [f32], weight: &[f32], eps: f32) {
    assert_eq!(x.len(), out.len(), "x and out have one shape");
    crew.chunks(out, some_rows(weight.len()), |first, out| rms_norm(&x[first..first + out.len()], out, weight, eps));
}

/// Numbers in as many rows of a width as are worth a task.
fn some_rows(width: usize) -> usize {
    WORTH.div_ceil(width.max(1)) * width
}

/// Softmax in place, the maximum subtracted.
pub fn softmax(row: &mut [f32]) {
    // SAFETY: the kernels are those of this processor.
    unsafe { (BEST.softmax)(row.as_mut_ptr(), row.len()) }
}

/// `x / 2 * (1 + erf(x / sqrt 2))` of each number, in place; good to 1e-7 times the larger of 1 and `|x|`.
pub fn gelu(row: &mut [f32]) {
    // SAFETY: the kernels are those of this processor.
    unsafe { (BEST.gelu)(row.as_mut_ptr(), row.len()) }
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

#[cfg(test)]
mod tests {
    use super::super::kernels::available;
    use super::super::testing::{self, noise};
    use super::*;

    #[test]
    fn gelu_is_good_to_1e_7() {
        for kernels in available() {
            let mut x: Vec<f32> = (-260_000..260_000).map(|i| i as f32 / 20_000.0).collect();
            x.extend([0.0, -0.0, 1e-30, -1e-30, 1e-3, -1e-3, 100.0, -100.0, 1e30, -1e30]);
            let mut y = x.clone();
            // SAFETY: kernels of this processor.
            unsafe { (kernels.gelu)(y.as_mut_ptr(), y.len()) }
            for (&x, &y) in x.iter().zip(&y) {
                let wanted = testing::gelu(f64::from(x));
                let error = (f64::from(y) - wanted).abs();
                assert!(error <= 1e-7 * f64::from(x.abs()).max(1.0), "{} gelu({x}) = {y}, not {wanted}", kernels.name);
            }
            let mut far = [-25.0, -1e30, f32::MIN];
            // SAFETY: as above.
            unsafe { (kernels.gelu)(far.as_mut_ptr(), far.len()) }
            assert_eq!(far, [0.0; 3], "{}", kernels.name);
            let mut odd = [f32::NAN, f32::INFINITY, 1.0];
            // SAFETY: as above.
            unsafe { (kernels.gelu)(odd.as_mut_ptr(), odd.len()) }
            assert!(odd[0].is_nan() && odd[1] == f32::INFINITY && odd[2] > 0.84);
        }
    }

    #[test]
    fn softmax_of_every_length() {
        for kernels in available() {
            for len in 1..100 {
                for (scale, shift) in [(1.0, 0.0), (30.0, 5.0), (1.0, -1e4), (200.0, 0.0)] {
                    let x: Vec<f32> = noise(len, 3).iter().map(|x| x * scale + shift).collect();
                    let mut y = x.clone();
                    y.push(7.0);
                    // SAFETY: kernels of this processor.
                    unsafe { (kernels.softmax)(y.as_mut_ptr(), len) }
                    assert_eq!(y.pop(), Some(7.0), "beyond the tail");
                    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let e: Vec<f64> = x.iter().map(|&x| f64::from(x - max).exp()).collect();
                    let sum: f64 = e.iter().sum();
                    for (y, e) in y.iter().zip(e) {
                        assert!((f64::from(*y) - e / sum).abs() <= 4e-7 * (e / sum) + 1e-30, "{} {len}", kernels.name);
                    }
                }
            }
        }
    }

    #[test]
    fn softmax_of_odd_numbers() {
        for kernels in available() {
            let run = |mut x: Vec<f32>| {
                // SAFETY: kernels of this processor.
                unsafe { (kernels.softmax)(x.as_mut_ptr(), x.len()) }
                x
            };
            assert_eq!(run(vec![f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY]), [0.0, 1.0, 0.0]);
            assert_eq!(run(vec![-1e30, 0.0, f32::MIN]), [0.0, 1.0, 0.0]);
            for position in [0, 5, 19] {
                let mut x = noise(20, 1);
                x[position] = f32::NAN;
                assert!(run(x).iter().all(|x| x.is_nan()), "{} {position}", kernels.name);
            }
            assert!(run(Vec::new()).is_empty());
        }
    }

    #[test]
    fn norms_of_every_width() {
        for kernels in available() {
            for width in 1..70 {
                let (x, weight, bias) = (noise(width, 1), noise(width, 2), noise(width, 3));
                let n = width as f64;
                let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
                let (mut layer, mut rms) = (x.clone(), vec![0.0; width]);
                // SAFETY: kernels of this processor.
                unsafe {
                    (kernels.layer_norm)(layer.as_mut_ptr(), width, weight.as_ptr(), bias.as_ptr(), 1e-5);
                    (kernels.rms_norm)(x.as_ptr(), rms.as_mut_ptr(), width, weight.as_ptr(), 1e-5);
                }
                let mean = wide.iter().sum::<f64>() / n;
                let var = wide.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                let square = wide.iter().map(|x| x * x).sum::<f64>() / n;
                for i in 0..width {
                    let weight = f64::from(weight[i]);
                    let wanted = (wide[i] - mean) / (var + 1e-5).sqrt() * weight + f64::from(bias[i]);
                    assert!((f64::from(layer[i]) - wanted).abs() < 1e-5, "{} {width}", kernels.name);
                    let wanted = wide[i] / (square + 1e-5).sqrt() * weight;
                    assert!((f64::from(rms[i]) - wanted).abs() < 2e-6, "{} {width}", kernels.name);
                }
            }
        }
    }

    #[test]
    fn a_crew_norms_as_one_thread_does() {
        let (width, rows) = (96, 1_000);
        let (x, weight, bias) = (noise(width * rows, 1), noise(width, 2), noise(width, 3));
        let (mut one, mut shared) = (x.clone(), x.clone());
        let (mut rms_one, mut rms_shared) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        layer_norm(&mut one, &weight, &bias, 1e-5);
        rms_norm(&x, &mut rms_one, &weight, 1e-5);
        Crew::with(Some(3), |crew| {
            layer_norm_on(crew, &mut shared, &weight, &bias, 1e-5);
            rms_norm_on(crew, &x, &mut rms_shared, &weight, 1e-5);
        });
        assert!(one == shared && rms_one == rms_shared);
    }

    #[test]
    fn turns_are_rotations() {
        let rotary = Rotary::new(&[1.0, 0.1, 0.01], 50);
        assert_eq!(rotary.positions(), 50);
        for position in [0, 1, 49] {
            let x = noise(6, 9);
            let mut y = x.clone();
            rotary.turn(&mut y, position);
            for (i, frequency) in [1.0_f32, 0.1, 0.01].into_iter().enumerate() {
                let angle = f64::from(frequency * position as f32);
                let (a, b) = (f64::from(x[i]), f64::from(x[i + 3]));
                assert!((f64::from(y[i]) - (a * angle.cos() - b * angle.sin())).abs() < 1e-6);
                assert!((f64::from(y[i + 3]) - (b * angle.cos() + a * angle.sin())).abs() < 1e-6);
            }
        }
    }
}
