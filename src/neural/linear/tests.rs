//! Every kernel of this machine against products in f64.

use half::bf16;
use proptest::prelude::*;

use super::super::kernels::available;
use super::super::testing::{gelu, noise};
use super::*;

fn bytes(weights: &[f32], wide: bool) -> Vec<u8> {
    if wide {
        weights.iter().flat_map(|w| w.to_le_bytes()).collect()
    } else {
        weights.iter().flat_map(|&w| bf16::from_f32(w).to_le_bytes()).collect()
    }
}

fn stored(bytes: &[u8], wide: bool) -> Stored<'_> {
    if wide { Stored::F32(bytes) } else { Stored::Bf16(bytes) }
}

fn rounded(x: f32) -> f64 {
    bf16::from_f32(x).to_f64()
}

/// Products in f64, `[rows, outputs]`, and the sums of the absolute values, which bound their rounding errors.
fn reference(w: &[f64], x: &[f64], bias: Option<&[f32]>, [rows, inputs, outputs]: [usize; 3]) -> Vec<(f64, f64)> {
    let one = |row: usize, output: usize| {
        let terms = (0..inputs).map(|i| w[output * inputs + i] * x[row * inputs + i]);
        let bias = bias.map_or(0.0, |bias| f64::from(bias[output]));
        (terms.clone().sum::<f64>() + bias, terms.map(f64::abs).sum::<f64>() + bias.abs())
    };
    (0..rows).flat_map(|row| (0..outputs).map(move |output| (row, output))).map(|(r, o)| one(r, o)).collect()
}

fn close(found: &[f32], wanted: impl Iterator<Item = (f64, f64)>, inputs: usize) {
    let unit = f64::from(f32::EPSILON);
    for (index, (&found, (wanted, size))) in found.iter().zip(wanted).enumerate() {
        let most = size * unit * (2.0 + (inputs as f64)) + 3e-7 * wanted.abs().max(1.0);
        assert!((f64::from(found) - wanted).abs() <= most, "{index}: {found} is not {wanted}");
    }
}

fn check([rows, inputs, outputs]: [usize; 3], wide: bool, precision: Precision, threads: usize, seed: u32) {
    let w = noise(outputs * inputs, seed);
    let x = noise(rows * inputs, seed + 1);
    let (bias, residual) = (noise(outputs, seed + 2), noise(rows * outputs, seed + 3));
    let packed = bytes(&w, wide);
    let layer = Linear::new(stored(&packed, wide), Some(&bias), inputs);
    assert_eq!((layer.inputs(), layer.outputs()), (inputs, outputs));
    let w64: Vec<f64> = w.iter().map(|&w| if wide { f64::from(w) } else { rounded(w) }).collect();
    let narrow = !wide && precision == Precision::Bf16;
    let x64: Vec<f64> = x.iter().map(|&x| if narrow { rounded(x) } else { f64::from(x) }).collect();
    let wanted = reference(&w64, &x64, Some(&bias), [rows, inputs, outputs]);
    for kernels in available() {
        Crew::with(Some(threads), |crew| {
            let run = |then: Then| {
                let mut out = vec![f32::NAN; rows * outputs];
                layer.apply_with(kernels, crew, precision, &x, &mut out, then);
                // One by one, the same bits.
                for row in 0..rows {
                    let mut one = vec![f32::NAN; outputs];
                    let then = match then {
                        Then::Add(residual) => Then::Add(&residual[row * outputs..][..outputs]),
                        other => other,
                    };
                    let x = &x[row * inputs..][..inputs];
                    layer.apply_with(kernels, crew, precision, x, &mut one, then);
                    assert_eq!(one, out[row * outputs..][..outputs], "{} row {row}", kernels.name);
                }
                out
            };
            close(&run(Then::Store), wanted.iter().copied(), inputs);
            close(&run(Then::Gelu), wanted.iter().map(|&(y, size)| (gelu(y), size)), inputs);
            close(&run(Then::Tanh), wanted.iter().map(|&(y, size)| (y.tanh(), size)), inputs);
            let with = wanted.iter().zip(&residual).map(|(&(y, size), &r)| (y + f64::from(r), size));
            close(&run(Then::Add(&residual)), with, inputs);
        });
    }
}

fn check_gated([rows, inputs, outputs]: [usize; 3], wide: bool, precision: Precision, seed: u32) {
    let (gate, up) = (noise(outputs * inputs, seed), noise(outputs * inputs, seed + 1));
    let x = noise(rows * inputs, seed + 2);
    let (gate_bits, up_bits) = (bytes(&gate, wide), bytes(&up, wide));
    let gated = Linear::gated(stored(&gate_bits, wide), stored(&up_bits, wide), inputs);
    assert_eq!(gated.outputs(), outputs);
    for kernels in available() {
        Crew::with(Some(2), |crew| {
            let run = |layer: &Linear, width: usize| {
                let mut out = vec![f32::NAN; rows * width];
                layer.apply_with(kernels, crew, precision, &x, &mut out, Then::Store);
                out
            };
            let parts = [stored(&gate_bits, wide), stored(&up_bits, wide)];
            let both = run(&Linear::joined(&parts, None, inputs), 2 * outputs);
            for (row, both) in run(&gated, outputs).chunks(outputs).zip(both.chunks(2 * outputs)) {
                for (i, &found) in row.iter().enumerate() {
                    let (gate, up) = (f64::from(both[i]), f64::from(both[outputs + i]));
                    let wanted = gate / (1.0 + (-gate).exp()) * up;
                    assert!((f64::from(found) - wanted).abs() <= 5e-7 * wanted.abs().max(1e-3), "{found} {wanted}");
                }
            }
        });
    }
}

#[test]
fn shapes_with_and_without_tails() {
    for shape in [[1, 1, 1], [1, 32, 3], [12, 64, 32], [13, 33, 31], [25, 160, 64], [3, 2, 1015], [7, 5, 97]] {
        for (wide, precision) in
            [(true, Precision::F32), (true, Precision::Bf16), (false, Precision::F32), (false, Precision::Bf16)]
        {
            check(shape, wide, precision, 2, 7);
            check_gated(shape, wide, precision, 11);
        }
    }
}

#[test]
fn shapes_that_are_shared_among_threads() {
    check([40, 301, 700], true, Precision::F32, 3, 5);
    check([40, 301, 700], false, Precision::Bf16, 3, 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_shape(rows in 1..40_usize, inputs in 1..150_usize, outputs in 1..150_usize, wide: bool, bf16: bool,
        threads in 1..4_usize, seed in 0..1000_u32) {
        let precision = if bf16 { Precision::Bf16 } else { Precision::F32 };
        check([rows, inputs, outputs], wide, precision, threads, seed);
        check_gated([rows, inputs, outputs], wide, precision, seed);
    }
}

#[test]
fn joined_layers_lie_side_by_side() {
    let (a, b) = (noise(5 * 6, 1), noise(40 * 6, 2));
    let biases = [noise(5, 3), noise(40, 4)];
    let bytes = [bytes(&a, true), bytes(&b, true)];
    let parts = [Stored::F32(&bytes[0]), Stored::F32(&bytes[1])];
    let joined = Linear::joined(&parts, Some(&[&biases[0], &biases[1]]), 6);
    let x = noise(6, 5);
    Crew::with(Some(1), |crew| {
        let mut out = vec![0.0; 45];
        joined.apply(crew, Precision::F32, &x, &mut out, Then::Store);
        for (part, bias, place) in [(parts[0], &biases[0], 0..5), (parts[1], &biases[1], 5..45)] {
            let mut one = vec![0.0; place.len()];
            Linear::new(part, Some(bias), 6).apply(crew, Precision::F32, &x, &mut one, Then::Store);
            assert_eq!(out[place], one);
        }
    });
}

#[test]
fn nan_and_infinity_stay_in_their_row() {
    let w = noise(40 * 34, 1);
    for (wide, precision) in [(true, Precision::F32), (false, Precision::F32), (false, Precision::Bf16)] {
        let bits = bytes(&w, wide);
        let layer = Linear::new(stored(&bits, wide), None, 34);
        for kernels in available() {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = noise(14 * 34, 2);
                x[3 * 34 + 33] = bad;
                Crew::with(Some(2), |crew| {
                    for then in [Then::Store, Then::Gelu, Then::Tanh] {
                        let mut out = vec![0.0; 14 * 40];
                        layer.apply_with(kernels, crew, precision, &x, &mut out, then);
                        for (row, out) in out.chunks(40).enumerate() {
                            let clean = out.iter().all(|y| y.is_finite());
                            assert!(clean || row == 3, "{} {then:?} {bad} row {row}", kernels.name);
                            assert!(row != 3 || !bad.is_nan() || out.iter().all(|y| y.is_nan()), "{then:?}");
                        }
                    }
                });
            }
        }
    }
}

#[test]
fn nothing_by_nothing() {
    Crew::with(Some(2), |crew| {
        let layer = Linear::new(Stored::F32(&[]), None, 4);
        layer.apply(crew, Precision::F32, &[], &mut [], Then::Store);
        let one = Linear::new(Stored::F32(&[0; 16]), None, 4);
        one.apply(crew, Precision::F32, &[], &mut [], Then::Store);
        let empty = Linear::gated(Stored::Bf16(&[]), Stored::Bf16(&[]), 3);
        empty.apply(crew, Precision::Bf16, &[], &mut [], Then::Store);
    });
}
