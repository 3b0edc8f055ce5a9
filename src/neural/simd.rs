//! What the kernels need of a processor: a few operations on a vector of f32, for AVX-512, AVX2 and plain Rust.
//!
//! Kernels are generic over [`Simd`] and always inlined; [`super::kernels`] instantiates them inside functions that
//! have the processor's features enabled.

#![expect(clippy::inline_always, reason = "intrinsics are inlined only where their processor feature is enabled")]

/// Vectors of [`Simd::LANES`] f32.
///
/// # Safety
/// All functions need the processor features of the implementing type. Pointers are valid for `LANES` numbers unless a
/// count is given; alignment does not matter.
pub(super) unsafe trait Simd {
    /// A vector.
    type V: Copy;
    /// Its numbers.
    const LANES: usize;
    /// Rows of a tile: as many as leave the sums of two vectors each in registers.
    const ROWS: usize;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(at: *const f32) -> Self::V;
    unsafe fn store(at: *mut f32, v: Self::V);
    /// The first `count < LANES` numbers, `rest` after them.
    unsafe fn load_some(at: *const f32, count: usize, rest: f32) -> Self::V;
    /// Stores the first `count < LANES` numbers.
    unsafe fn store_some(at: *mut f32, v: Self::V, count: usize);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` where one is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where one is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn abs(a: Self::V) -> Self::V;
    /// `then` where `x` is negative or -0, else `or`.
    unsafe fn if_negative(x: Self::V, then: Self::V, or: Self::V) -> Self::V;
    /// The nearest whole number.
    unsafe fn round(a: Self::V) -> Self::V;
    /// `a * 2^n` for whole `n` in -160..=130.
    unsafe fn scale(a: Self::V, n: Self::V) -> Self::V;
    /// Sum of the lanes, upper half to lower half.
    unsafe fn sum(v: Self::V) -> f32;
    /// Largest lane.
    unsafe fn peak(v: Self::V) -> f32;
    /// `LANES` pairs of bf16, widened: the first of each pair, and the second.
    unsafe fn pairs(at: *const u16) -> [Self::V; 2];
}

/// Plain Rust. Compilers make vector instructions of it where the target always has them (SSE2, NEON).
pub(super) struct Plain;

// SAFETY: needs no feature; only the promised numbers are read and written.
unsafe impl Simd for Plain {
    type V = [f32; 4];
    const LANES: usize = 4;
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self::V {
        // SAFETY: the trait's promise, here and below.
        unsafe { at.cast::<Self::V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(at: *mut f32, v: Self::V) {
        // SAFETY: see `load`.
        unsafe { at.cast::<Self::V>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn load_some(at: *const f32, count: usize, rest: f32) -> Self::V {
        // SAFETY: see `load`.
        std::array::from_fn(|i| if i < count { unsafe { at.add(i).read_unaligned() } } else { rest })
    }
    #[inline(always)]
    unsafe fn store_some(at: *mut f32, v: Self::V, count: usize) {
        for (i, x) in v.into_iter().enumerate().take(count) {
            // SAFETY: see `load`.
            unsafe { at.add(i).write_unaligned(x) }
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // A fused one is a library call where the target does not have it.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
        } else {
            std::array::from_fn(|i| a[i] * b[i] + c[i])
        }
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn abs(a: Self::V) -> Self::V {
        a.map(f32::abs)
    }
    #[inline(always)]
    unsafe fn if_negative(x: Self::V, then: Self::V, or: Self::V) -> Self::V {
        std::array::from_fn(|i| if x[i].is_sign_negative() { then[i] } else { or[i] })
    }
    #[inline(always)]
    unsafe fn round(a: Self::V) -> Self::V {
        // Adding and taking away 1.5 * 2^23 rounds what is smaller than 2^22.
        a.map(|x| (x + 12_582_912.0) - 12_582_912.0)
    }
    #[inline(always)]
    unsafe fn scale(a: Self::V, n: Self::V) -> Self::V {
        // In two halves, each of which is a power that exists.
        let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
        std::array::from_fn(|i| {
            let n = n[i] as i32;
            a[i] * power(n >> 1) * power(n - (n >> 1))
        })
    }
    #[inline(always)]
    unsafe fn sum(v: Self::V) -> f32 {
        (v[0] + v[2]) + (v[1] + v[3])
    }
    #[inline(always)]
    unsafe fn peak(v: Self::V) -> f32 {
        v.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
    #[inline(always)]
    unsafe fn pairs(at: *const u16) -> [Self::V; 2] {
        // SAFETY: the trait's promise: four pairs.
        let bits = unsafe { at.cast::<[u16; 8]>().read_unaligned() };
        let wide = |i: usize| f32::from_bits(u32::from(bits[i]) << 16);
        [std::array::from_fn(|i| wide(2 * i)), std::array::from_fn(|i| wide(2 * i + 1))]
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(clippy::wildcard_imports, reason = "the intrinsics carry their origin in their names")]
    use std::arch::x86_64::*;

    use super::Simd;

    /// AVX-512 (F).
    pub(in super::super) struct Avx512;

    // SAFETY: used only inside functions with `avx512f` enabled; only the promised numbers are read and written.
    unsafe impl Simd for Avx512 {
        type V = __m512;
        const LANES: usize = 16;
        const ROWS: usize = 12;

        #[inline(always)]
        unsafe fn splat(x: f32) -> Self::V {
            // SAFETY: the trait's promise, here and in all functions below.
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(at: *const f32) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm512_loadu_ps(at) }
        }
        #[inline(always)]
        unsafe fn store(at: *mut f32, v: Self::V) {
            // SAFETY: see `splat`.
            unsafe { _mm512_storeu_ps(at, v) }
        }
        #[inline(always)]
        unsafe fn load_some(at: *const f32, count: usize, rest: f32) -> Self::V {
            // SAFETY: see `splat`; masked lanes are not read.
            unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(rest), (1_u16 << count) - 1, at) }
        }
        #[inline(always)]
        unsafe fn store_some(at: *mut f32, v: Self::V, count: usize) {
            // SAFETY: see `splat`; masked lanes are not written.
            unsafe { _mm512_mask_storeu_ps(at, (1_u16 << count) - 1, v) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm512_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm512_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn abs(a: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm512_abs_ps(a) }
        }
        #[inline(always)]
        unsafe fn if_negative(x: Self::V, then: Self::V, or: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe {
                let negative = _mm512_cmplt_epi32_mask(_mm512_castps_si512(x), _mm512_setzero_si512());
                _mm512_mask_blend_ps(negative, or, then)
            }
        }
        #[inline(always)]
        unsafe fn round(a: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        }
        #[inline(always)]
        unsafe fn scale(a: Self::V, n: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm512_scalef_ps(a, n) }
        }
        #[inline(always)]
        unsafe fn sum(v: Self::V) -> f32 {
            // SAFETY: see `splat`.
            unsafe { _mm512_reduce_add_ps(v) }
        }
        #[inline(always)]
        unsafe fn peak(v: Self::V) -> f32 {
            // SAFETY: see `splat`.
            unsafe { _mm512_reduce_max_ps(v) }
        }
        #[inline(always)]
        unsafe fn pairs(at: *const u16) -> [Self::V; 2] {
            // SAFETY: see `splat`.
            unsafe {
                let bits = _mm512_loadu_si512(at.cast());
                let second = _mm512_and_si512(bits, _mm512_set1_epi32(-65_536));
                [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)), _mm512_castsi512_ps(second)]
            }
        }
    }

    /// AVX2 with FMA.
    pub(in super::super) struct Avx2;

    impl Avx2 {
        /// Lanes below `count` are all ones.
        #[inline(always)]
        unsafe fn mask(count: usize) -> __m256i {
            // SAFETY: used by the functions below.
            unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
        }
    }

    // SAFETY: used only inside functions with `avx2` and `fma` enabled; only the promised numbers are read and written.
    unsafe impl Simd for Avx2 {
        type V = __m256;
        const LANES: usize = 8;
        const ROWS: usize = 6;

        #[inline(always)]
        unsafe fn splat(x: f32) -> Self::V {
            // SAFETY: the trait's promise, here and in all functions below.
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(at: *const f32) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm256_loadu_ps(at) }
        }
        #[inline(always)]
        unsafe fn store(at: *mut f32, v: Self::V) {
            // SAFETY: see `splat`.
            unsafe { _mm256_storeu_ps(at, v) }
        }
        #[inline(always)]
        unsafe fn load_some(at: *const f32, count: usize, rest: f32) -> Self::V {
            // SAFETY: see `splat`; masked lanes are not read.
            unsafe {
                let mask = Self::mask(count);
                _mm256_blendv_ps(_mm256_set1_ps(rest), _mm256_maskload_ps(at, mask), _mm256_castsi256_ps(mask))
            }
        }
        #[inline(always)]
        unsafe fn store_some(at: *mut f32, v: Self::V, count: usize) {
            // SAFETY: see `splat`; masked lanes are not written.
            unsafe { _mm256_maskstore_ps(at, Self::mask(count), v) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm256_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm256_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm256_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn abs(a: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
        }
        #[inline(always)]
        unsafe fn if_negative(x: Self::V, then: Self::V, or: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm256_blendv_ps(or, then, x) }
        }
        #[inline(always)]
        unsafe fn round(a: Self::V) -> Self::V {
            // SAFETY: see `splat`.
            unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        }
        #[inline(always)]
        unsafe fn scale(a: Self::V, n: Self::V) -> Self::V {
            // SAFETY: see `splat`. In two halves, each of which is a power that exists.
            unsafe {
                let n = _mm256_cvtps_epi32(n);
                let half = _mm256_srai_epi32::<1>(n);
                let bias = _mm256_set1_epi32(127);
                let low = _mm256_slli_epi32::<23>(_mm256_add_epi32(half, bias));
                let high = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_sub_epi32(n, half), bias));
                _mm256_mul_ps(_mm256_mul_ps(a, _mm256_castsi256_ps(low)), _mm256_castsi256_ps(high))
            }
        }
        #[inline(always)]
        unsafe fn sum(v: Self::V) -> f32 {
            // SAFETY: see `splat`.
            unsafe {
                let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
            }
        }
        #[inline(always)]
        unsafe fn peak(v: Self::V) -> f32 {
            // SAFETY: see `splat`.
            unsafe {
                let four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
                let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
            }
        }
        #[inline(always)]
        unsafe fn pairs(at: *const u16) -> [Self::V; 2] {
            // SAFETY: see `splat`.
            unsafe {
                let bits = _mm256_loadu_si256(at.cast());
                let second = _mm256_and_si256(bits, _mm256_set1_epi32(-65_536));
                [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits)), _mm256_castsi256_ps(second)]
            }
        }
    }
}
