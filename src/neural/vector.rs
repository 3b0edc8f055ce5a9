//! Loops over one row: activations, softmax, norms, roundings.
//!
//! A tail shorter than a vector goes through the same vector functions, so a number's result does not depend on where
//! in a row it stands.

#![expect(clippy::inline_always, reason = "intrinsics are inlined only where their processor feature is enabled")]

use super::simd::Simd;

/// `e^x`, within one unit in the last place or two; 0 and infinity where f32 ends, NaN stays.
///
/// # Safety
/// The processor has what `S` needs; so in all functions of this file, whose rows hold `len` numbers.
#[inline(always)]
pub(super) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's promise.
    unsafe {
        // NaN is the second operand, which is the one that stays.
        let x = S::max(S::splat(-110.0), S::min(S::splat(89.0), x));
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        // ln 2 in two parts, the first of which is exact in products with n.
        let r = S::fma(n, S::splat(-0.693_359_4), x);
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        // e^r = 1 + r + r^2 p(r), p fitted for the smallest relative error on [-ln 2 / 2, ln 2 / 2].
        let mut p = S::splat(1.381_459_9e-3);
        for factor in [8.368_717e-3, 4.166_839e-2, 0.166_665_21, 0.499_999_94, 1.0, 1.0] {
            p = S::fma(p, r, S::splat(factor));
        }
        S::scale(p, n)
    }
}

/// `x / 2 * (1 + erf(x / sqrt 2))`, good to 1e-7 times the larger of 1 and `|x|`.
///
/// The upper tail of the normal distribution is `exp(-a p(a)) / 2` with a polynomial p, fitted on [0, 8.5] for the
/// smallest absolute error of the result; so negative numbers keep their relative precision too.
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(super) unsafe fn gelu<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's promise.
    unsafe {
        // Beyond the fit the tail goes on falling, to 0 from 25 on.
        let size = S::abs(x);
        let a = S::min(S::splat(8.5), size);
        let mut p = S::splat(-1.484_855e-9);
        for factor in [
            6.011_894e-8,
            -1.052_926_8e-6,
            1.045_035e-5,
            -6.345_712e-5,
            2.167_691_7e-4,
            -2.885_876_3e-5,
            -4.796_513e-3,
            3.634_522_5e-2,
            0.318_306_95,
            0.797_884_9,
        ] {
            p = S::fma(p, a, S::splat(factor));
        }
        let tail = S::mul(S::splat(0.5), exp::<S>(S::mul(S::sub(S::splat(0.0), size), p)));
        S::mul(x, S::if_negative(x, tail, S::sub(S::splat(1.0), tail)))
    }
}

/// `x / (1 + e^-x)`.
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(super) unsafe fn silu<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's promise.
    unsafe { S::div(x, S::add(S::splat(1.0), exp::<S>(S::sub(S::splat(0.0), x)))) }
}

/// Calls `$one` for each vector of a row and for its tail: `$i` is where it starts, `$load` and `$store` are for it.
macro_rules! vectors {
    ($len:expr, $rest:expr, |$i:ident, $load:ident, $store:ident| $one:expr) => {{
        let (len, mut $i) = ($len, 0);
        while $i + S::LANES <= len {
            macro_rules! $load {
                ($at:expr) => {
                    S::load($at.add($i))
                };
            }
            #[allow(unused_macros, reason = "sums store nothing")]
            macro_rules! $store {
                ($at:expr, $v:expr) => {
                    S::store($at.add($i), $v)
                };
            }
            $one;
            $i += S::LANES;
        }
        if $i < len {
            let count = len - $i;
            macro_rules! $load {
                ($at:expr) => {
                    S::load_some($at.add($i), count, $rest)
                };
            }
            #[allow(unused_macros, reason = "sums store nothing")]
            macro_rules! $store {
                ($at:expr, $v:expr) => {
                    S::store_some($at.add($i), $v, count)
                };
            }
            $one;
        }
    }};
}

/// GELU of a row, in place.
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(super) unsafe fn gelu_row<S: Simd>(row: *mut f32, len: usize) {
    // SAFETY: the caller's promise; the macro stays within `len`.
    unsafe { vectors!(len, 0.0, |i, load, store| store!(row, gelu::<S>(load!(row)))) }
}

/// `gate[i] = silu(gate[i]) * up[i]`.
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(super) unsafe fn gate_row<S: Simd>(gate: *mut f32, up: *const f32, len: usize) {
    // SAFETY: the caller's promise; the macro stays within `len`.
    unsafe { vectors!(len, 0.0, |i, load, store| store!(gate, S::mul(silu::<S>(load!(gate)), load!(up)))) }
}

/// Softmax of a row in place, the maximum subtracted.
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(super) unsafe fn softmax_row<S: Simd>(row: *mut f32, len: usize) {
    // SAFETY: the caller's promise; the macro stays within `len`.
    unsafe {
        let mut peak = S::splat(f32::NEG_INFINITY);
        vectors!(len, f32::NEG_INFINITY, |i, load, store| peak = S::max(load!(row), peak));
        let peak = S::splat(S::peak(peak));
        let mut sum = S::splat(0.0);
        // What stands beyond the tail is -inf, of which nothing is left.
        vectors!(len, f32::NEG_INFINITY, |i, load, store| {
            let e = exp::<S>(S::sub(load!(row), peak));
            store!(row, e);
            sum = S::add(sum, e);
        });
        let scale = S::splat(1.0 / S::sum(sum));
        vectors!(len, 0.0, |i, load, store| store!(row, S::mul(load!(row), scale)));
    }
}

/// `(x - mean) / sqrt(var + eps) * weight + bias`, in place.
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(super) unsafe fn layer_norm_row<S: Simd>(
    row: *mut f32,
    len: usize,
    weight: *const f32,
    bias: *const f32,
    eps: f32,
) {
    // SAFETY: the caller's promise; the macro stays within `len`.
    unsafe {
        let mut sum = S::splat(0.0);
        vectors!(len, 0.0, |i, load, store| sum = S::add(sum, load!(row)));
        let mean = S::sum(sum) / len as f32;
        let m = S::splat(mean);
        let mut squares = S::splat(0.0);
        // What stands beyond the tail is the mean, which differs from it by nothing.
        vectors!(len, mean, |i, load, store| {
            let x = S::sub(load!(row), m);
            squares = S::fma(x, x, squares);
        });
        let scale = S::splat(1.0 / (S::sum(squares) / len as f32 + eps).sqrt());
        vectors!(len, 0.0, |i, load, store| {
            let x = S::mul(S::sub(load!(row), m), scale);
            store!(row, S::fma(x, load!(weight), load!(bias)));
        });
    }
}

/// `x / sqrt(mean(x^2) + eps) * weight` into `out`.
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(super) unsafe fn rms_norm_row<S: Simd>(x: *const f32, out: *mut f32, len: usize, weight: *const f32, eps: f32) {
    // SAFETY: the caller's promise; the macro stays within `len`.
    unsafe {
        let mut squares = S::splat(0.0);
        vectors!(len, 0.0, |i, load, store| squares = S::fma(load!(x), load!(x), squares));
        let scale = S::splat(1.0 / (S::sum(squares) / len as f32 + eps).sqrt());
        vectors!(len, 0.0, |i, load, store| store!(out, S::mul(S::mul(load!(x), scale), load!(weight))));
    }
}

/// `out[i] = a[i] + b[i]`.
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(super) unsafe fn add_row<S: Simd>(a: *const f32, b: *const f32, out: *mut f32, len: usize) {
    // SAFETY: the caller's promise; the macro stays within `len`.
    unsafe { vectors!(len, 0.0, |i, load, store| store!(out, S::add(load!(a), load!(b)))) }
}

/// `out[i] = x[i]`.
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(super) unsafe fn copy_row<S: Simd>(x: *const f32, out: *mut f32, len: usize) {
    // SAFETY: the caller's promise; the macro stays within `len`.
    unsafe { vectors!(len, 0.0, |i, load, store| store!(out, load!(x))) }
}

/// Rounds to bf16, ties to even; NaN stays NaN. A loop that compilers make vector instructions of.
#[inline(always)]
pub(super) fn round_row(x: &[f32], out: &mut [u16]) {
    for (x, out) in x.iter().zip(out) {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        let quiet = bits | 0x0040_0000;
        *out = ((if x.is_nan() { quiet } else { rounded }) >> 16) as u16;
    }
}
