//! One reduction, three processors: 32 lanes of f32, element `i` goes to lane `i % 32`, then halves are added.
//!
//! Every step is a fused multiply-add in every version, so AVX-512, AVX2 and plain Rust give the same bits, and a
//! score does not depend on the machine. 32 lanes are two AVX-512 registers: enough chains to outrun memory, few
//! enough for AVX2 to keep them all in registers.

use std::sync::LazyLock;

use half::f16;

/// Elements that one step takes; prepared vectors are padded with zeros to a multiple of it.
pub(super) const LANES: usize = 32;

/// A number an embedding can be made of. The kernels read it as f32, the precision of the weights.
pub(super) trait Element: Copy {
    /// Rounded to f32.
    fn narrow(self) -> f32;
    /// As f64, exact but for 64-bit integers.
    fn wide(self) -> f64;
}

/// An [`Element`] the kernels read directly; the others are converted into scratch rows first.
pub(super) trait Direct: Element {
    /// 32 elements from `at`, as f32.
    ///
    /// # Safety
    /// `at` is valid for reading 32 elements (any alignment), and the processor has what `S` needs.
    unsafe fn load<S: Simd>(at: *const Self) -> S::Block;

    /// The kernels for this element.
    fn kernels(kernels: &Kernels) -> &Pair<Self>;
}

/// Dot products of `R` rows of `len` elements with a padded vector; the sums of one row do not depend on the others.
/// The `isize` is how many bytes further the rows lie that are read next, 0 if they need not be fetched.
///
/// # Safety
/// The rows are valid for `len` elements (any alignment), the vector for `len` rounded up to [`LANES`].
pub(super) type Kernel<T, const R: usize> = unsafe fn([*const T; R], isize, usize, *const f32) -> [f32; R];

/// One row, and two side by side: two streams from memory are a fifth faster than one, more bring little.
pub(super) struct Pair<T> {
    pub(super) one: Kernel<T, 1>,
    pub(super) two: Kernel<T, 2>,
}

/// The kernels of a processor.
pub(super) struct Kernels {
    /// For tests and reports.
    pub(super) name: &'static str,
    f32: Pair<f32>,
    f64: Pair<f64>,
    f16: Pair<f16>,
}

/// A processor's way to hold 32 lanes.
///
/// # Safety
/// All functions need the processor features of the implementing type; pointers are valid for 32 elements.
pub(super) unsafe trait Simd {
    /// 32 f32.
    type Block: Copy;
    unsafe fn zero() -> Self::Block;
    unsafe fn f32(at: *const f32) -> Self::Block;
    unsafe fn f64(at: *const f64) -> Self::Block;
    unsafe fn f16(at: *const f16) -> Self::Block;
    unsafe fn fma(a: Self::Block, b: Self::Block, sum: Self::Block) -> Self::Block;
    /// Adds the upper half of the lanes to the lower until one is left.
    unsafe fn sum(block: Self::Block) -> f32;
    /// Asks for the cache line at an address that may lie anywhere.
    fn prefetch(at: *const u8);
}

/// The reduction. `T::load` and `S` are inlined into the `#[target_feature]` functions below.
#[inline(always)]
#[expect(clippy::inline_always, reason = "intrinsics are inlined only where their processor feature is enabled")]
unsafe fn reduce<S: Simd, T: Direct, const R: usize>(
    rows: [*const T; R],
    ahead: isize,
    len: usize,
    vector: *const f32,
) -> [f32; R] {
    let full = len - len % LANES;
    // SAFETY: the caller's promise: rows hold `len` elements, `vector` is padded, the features are there.
    unsafe {
        let mut sums = [S::zero(); R];
        for i in (0..full).step_by(LANES) {
            let weights = S::f32(vector.add(i));
            for (row, sum) in rows.iter().zip(&mut sums) {
                let at = row.add(i);
                if R > 1 && ahead != 0 {
                    // The processor's own prefetcher stops at the end of a page, which is less than a row.
                    for line in (0..LANES * size_of::<T>()).step_by(64) {
                        S::prefetch(at.cast::<u8>().wrapping_offset(ahead).wrapping_add(line));
                    }
                }
                *sum = S::fma(T::load::<S>(at), weights, *sum);
            }
        }
        if full < len {
            let weights = S::f32(vector.add(full));
            for (row, sum) in rows.iter().zip(&mut sums) {
                let mut rest = [0.0; LANES];
                for (i, slot) in rest.iter_mut().enumerate().take(len - full) {
                    *slot = row.add(full + i).read_unaligned().narrow();
                }
                *sum = S::fma(S::f32(rest.as_ptr()), weights, *sum);
            }
        }
        let mut products = [0.0; R];
        for (product, sum) in products.iter_mut().zip(sums) {
            *product = S::sum(sum);
        }
        products
    }
}

macro_rules! element {
    ($($kind:ident: $narrow:expr, $wide:expr;)*) => {$(
        impl Element for $kind {
            #[inline]
            fn narrow(self) -> f32 {
                $narrow(self)
            }
            #[inline]
            fn wide(self) -> f64 {
                $wide(self)
            }
        }
    )*};
}

element! {
    f16: f16::to_f32, f16::to_f64;
    f32: |x| x, f64::from;
    f64: |x| x as f32, |x| x;
    i8: f32::from, f64::from;
    u8: f32::from, f64::from;
    i16: f32::from, f64::from;
    u16: f32::from, f64::from;
    i32: |x| x as f32, f64::from;
    u32: |x| x as f32, f64::from;
    i64: |x| x as f32, |x| x as f64;
    u64: |x| x as f32, |x| x as f64;
}

macro_rules! direct {
    ($($kind:ident)*) => {$(
        impl Direct for $kind {
            #[inline(always)]
            unsafe fn load<S: Simd>(at: *const Self) -> S::Block {
                // SAFETY: the caller's promise.
                unsafe { S::$kind(at) }
            }
            fn kernels(kernels: &Kernels) -> &Pair<Self> {
                &kernels.$kind
            }
        }
    )*};
}

direct!(f16 f32 f64);

/// Plain Rust, for processors without the features of the others. `mul_add` keeps the bits equal: it is one
/// instruction on `AArch64` and a library call on x86-64 processors from before 2013.
pub(super) struct Plain;

// SAFETY: needs no processor feature; pointers are only read within the promised 32 elements.
unsafe impl Simd for Plain {
    type Block = [f32; LANES];

    unsafe fn zero() -> Self::Block {
        [0.0; LANES]
    }
    #[inline]
    unsafe fn f32(at: *const f32) -> Self::Block {
        // SAFETY: the trait's promise; the read is unaligned.
        unsafe { at.cast::<Self::Block>().read_unaligned() }
    }
    #[inline]
    unsafe fn f64(at: *const f64) -> Self::Block {
        // SAFETY: as above.
        unsafe { at.cast::<[f64; LANES]>().read_unaligned() }.map(Element::narrow)
    }
    #[inline]
    unsafe fn f16(at: *const f16) -> Self::Block {
        // SAFETY: as above.
        unsafe { at.cast::<[f16; LANES]>().read_unaligned() }.map(Element::narrow)
    }
    #[inline]
    unsafe fn fma(a: Self::Block, b: Self::Block, sum: Self::Block) -> Self::Block {
        std::array::from_fn(|i| a[i].mul_add(b[i], sum[i]))
    }
    unsafe fn sum(mut block: Self::Block) -> f32 {
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                block[i] += block[i + half];
            }
            half /= 2;
        }
        block[0]
    }
    #[inline]
    fn prefetch(_at: *const u8) {}
}

unsafe fn plain<T: Direct, const R: usize>(
    rows: [*const T; R],
    ahead: isize,
    len: usize,
    vector: *const f32,
) -> [f32; R] {
    // SAFETY: the caller's promise, and `Plain` needs no feature.
    unsafe { reduce::<Plain, T, R>(rows, ahead, len, vector) }
}

/// The kernels made of one generic function.
macro_rules! kernels {
    ($name:literal, $function:ident) => {
        Kernels {
            name: $name,
            f32: Pair { one: $function, two: $function },
            f64: Pair { one: $function, two: $function },
            f16: Pair { one: $function, two: $function },
        }
    };
}

/// The kernels that run anywhere.
pub(super) static PLAIN: Kernels = kernels!("plain", plain);

/// The fastest kernels this processor can run, chosen on first use.
pub(super) static BEST: LazyLock<&'static Kernels> = LazyLock::new(|| available()[0]);

/// All kernels this processor can run, fastest first.
pub(super) fn available() -> Vec<&'static Kernels> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    x86::detect(&mut found);
    found.push(&PLAIN);
    found
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::inline_always, reason = "intrinsics are inlined only where their processor feature is enabled")]
pub(super) mod x86 {
    #[allow(clippy::wildcard_imports, reason = "the intrinsics carry their origin in their names")]
    use std::arch::x86_64::*;

    use half::f16;

    use super::{Direct, Kernels, Pair, Simd, reduce};

    pub(super) fn detect(found: &mut Vec<&'static Kernels>) {
        let avx2 =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        if avx2 && is_x86_feature_detected!("avx512f") {
            found.push(&AVX512);
        }
        if avx2 {
            found.push(&AVX2);
        }
    }

    static AVX512: Kernels = kernels!("avx512", avx512);
    static AVX2: Kernels = kernels!("avx2", avx2);

    #[target_feature(enable = "avx512f,avx2,fma,f16c")]
    unsafe fn avx512<T: Direct, const R: usize>(
        rows: [*const T; R],
        ahead: isize,
        len: usize,
        vector: *const f32,
    ) -> [f32; R] {
        // SAFETY: the caller's promise; the features are enabled on this function.
        unsafe { reduce::<Avx512, T, R>(rows, ahead, len, vector) }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn avx2<T: Direct, const R: usize>(
        rows: [*const T; R],
        ahead: isize,
        len: usize,
        vector: *const f32,
    ) -> [f32; R] {
        // SAFETY: the caller's promise; the features are enabled on this function.
        unsafe { reduce::<Avx2, T, R>(rows, ahead, len, vector) }
    }

    /// The last steps of the sum: 8 lanes to one.
    #[inline(always)]
    unsafe fn sum8(lanes: __m256) -> f32 {
        // SAFETY: both callers run with AVX2.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    // Helpers instead of closures: a closure would not get the caller's processor features.

    /// 16 f64, rounded to f32.
    #[inline(always)]
    unsafe fn narrow16(at: *const f64) -> __m512 {
        // SAFETY: used by `Avx512` only, within its 32 elements.
        unsafe {
            let low = _mm512_castps256_ps512(_mm512_cvtpd_ps(_mm512_loadu_pd(at)));
            let high = _mm512_cvtpd_ps(_mm512_loadu_pd(at.add(8)));
            _mm512_castpd_ps(_mm512_insertf64x4::<1>(_mm512_castps_pd(low), _mm256_castps_pd(high)))
        }
    }

    /// 8 f64, rounded to f32.
    #[inline(always)]
    unsafe fn narrow8(at: *const f64) -> __m256 {
        // SAFETY: used by `Avx2` only, within its 32 elements.
        unsafe { _mm256_set_m128(_mm256_cvtpd_ps(_mm256_loadu_pd(at.add(4))), _mm256_cvtpd_ps(_mm256_loadu_pd(at))) }
    }

    /// 8 f16 as f32.
    #[inline(always)]
    unsafe fn widen8(at: *const f16) -> __m256 {
        // SAFETY: used by `Avx2` only, within its 32 elements.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at.cast())) }
    }

    /// AVX-512: 32 lanes are two registers.
    pub(in crate::math) struct Avx512;

    // SAFETY: used only by `avx512` above; loads are unaligned and within the promised 32 elements.
    unsafe impl Simd for Avx512 {
        type Block = [__m512; 2];

        #[inline(always)]
        unsafe fn zero() -> Self::Block {
            // SAFETY: the trait's promise, here and in all functions below.
            unsafe { [_mm512_setzero_ps(); 2] }
        }
        #[inline(always)]
        unsafe fn f32(at: *const f32) -> Self::Block {
            // SAFETY: see `zero`.
            unsafe { [_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(16))] }
        }
        #[inline(always)]
        unsafe fn f64(at: *const f64) -> Self::Block {
            // SAFETY: see `zero`.
            unsafe { [narrow16(at), narrow16(at.add(16))] }
        }
        #[inline(always)]
        unsafe fn f16(at: *const f16) -> Self::Block {
            // SAFETY: see `zero`.
            unsafe {
                let low = _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()));
                [low, _mm512_cvtph_ps(_mm256_loadu_si256(at.add(16).cast()))]
            }
        }
        #[inline(always)]
        unsafe fn fma(a: Self::Block, b: Self::Block, sum: Self::Block) -> Self::Block {
            // SAFETY: see `zero`.
            unsafe { [_mm512_fmadd_ps(a[0], b[0], sum[0]), _mm512_fmadd_ps(a[1], b[1], sum[1])] }
        }
        #[inline(always)]
        unsafe fn sum(block: Self::Block) -> f32 {
            // SAFETY: see `zero`.
            unsafe {
                let sixteen = _mm512_add_ps(block[0], block[1]);
                let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(sixteen)));
                sum8(_mm256_add_ps(_mm512_castps512_ps256(sixteen), high))
            }
        }
        #[inline(always)]
        fn prefetch(at: *const u8) {
            // SAFETY: a prefetch never faults, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
    }

    /// AVX2 with FMA and F16C: 32 lanes are four registers.
    pub(in crate::math) struct Avx2;

    // SAFETY: used only by `avx2` above; loads are unaligned and within the promised 32 elements.
    unsafe impl Simd for Avx2 {
        type Block = [__m256; 4];

        #[inline(always)]
        unsafe fn zero() -> Self::Block {
            // SAFETY: the trait's promise, here and in all functions below.
            unsafe { [_mm256_setzero_ps(); 4] }
        }
        #[inline(always)]
        unsafe fn f32(at: *const f32) -> Self::Block {
            // SAFETY: see `zero`.
            unsafe {
                [
                    _mm256_loadu_ps(at),
                    _mm256_loadu_ps(at.add(8)),
                    _mm256_loadu_ps(at.add(16)),
                    _mm256_loadu_ps(at.add(24)),
                ]
            }
        }
        #[inline(always)]
        unsafe fn f64(at: *const f64) -> Self::Block {
            // SAFETY: see `zero`.
            unsafe { [narrow8(at), narrow8(at.add(8)), narrow8(at.add(16)), narrow8(at.add(24))] }
        }
        #[inline(always)]
        unsafe fn f16(at: *const f16) -> Self::Block {
            // SAFETY: see `zero`.
            unsafe { [widen8(at), widen8(at.add(8)), widen8(at.add(16)), widen8(at.add(24))] }
        }
        #[inline(always)]
        unsafe fn fma(a: Self::Block, b: Self::Block, sum: Self::Block) -> Self::Block {
            // SAFETY: see `zero`.
            unsafe {
                [
                    _mm256_fmadd_ps(a[0], b[0], sum[0]),
                    _mm256_fmadd_ps(a[1], b[1], sum[1]),
                    _mm256_fmadd_ps(a[2], b[2], sum[2]),
                    _mm256_fmadd_ps(a[3], b[3], sum[3]),
                ]
            }
        }
        #[inline(always)]
        unsafe fn sum(block: Self::Block) -> f32 {
            // SAFETY: see `zero`.
            unsafe {
                let low = _mm256_add_ps(block[0], block[2]);
                let high = _mm256_add_ps(block[1], block[3]);
                sum8(_mm256_add_ps(low, high))
            }
        }
        #[inline(always)]
        fn prefetch(at: *const u8) {
            // SAFETY: a prefetch never faults, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The product by the kernel for one row, which the kernel for two must repeat on either side.
    fn run<T: Direct>(kernels: &Kernels, row: &[T], vector: &[f32]) -> f32 {
        let mut padded = vector.to_vec();
        padded.resize(row.len().next_multiple_of(LANES), 0.0);
        let other: Vec<T> = row.iter().rev().copied().collect();
        let (row, other, len) = (row.as_ptr(), other.as_ptr(), other.len());
        let Pair { one, two } = T::kernels(kernels);
        // SAFETY: both rows have `len` elements, `padded` is padded, and `available` lists what this processor can run.
        unsafe {
            let [product] = one([row], 0, len, padded.as_ptr());
            let [left, _] = two([row, other], 4096, len, padded.as_ptr());
            let [_, right] = two([other, row], -4096, len, padded.as_ptr());
            assert_eq!([left.to_bits(), right.to_bits()], [product.to_bits(); 2], "{}", kernels.name);
            product
        }
    }

    proptest! {
        #[test]
        fn all_kernels_give_the_same_bits(
            pairs in proptest::collection::vec((-100.0_f32..100.0, -100.0_f32..100.0), 0..200),
        ) {
            let (row, vector): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let wide: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            let narrow: Vec<f16> = row.iter().map(|&x| f16::from_f32(x)).collect();
            let expected = run(&PLAIN, &row, &vector);
            let expected_narrow = run(&PLAIN, &narrow, &vector);
            for kernels in available() {
                prop_assert_eq!(run(kernels, &row, &vector).to_bits(), expected.to_bits(), "{} f32", kernels.name);
                prop_assert_eq!(run(kernels, &wide, &vector).to_bits(), expected.to_bits(), "{} f64", kernels.name);
                let found = run(kernels, &narrow, &vector);
                prop_assert_eq!(found.to_bits(), expected_narrow.to_bits(), "{} f16", kernels.name);
            }
        }

        #[test]
        fn a_product_is_near_the_exact_one(
            pairs in proptest::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 1..3000),
        ) {
            let (row, vector): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let exact: f64 = pairs.iter().map(|&(a, b)| f64::from(a) * f64::from(b)).sum();
            let size: f64 = pairs.iter().map(|&(a, b)| (f64::from(a) * f64::from(b)).abs()).sum();
            // n / 32 additions in a lane and 5 to join them, half a unit of the last place each.
            let steps = pairs.len() as f64 / 32.0 + 6.0;
            let found = f64::from(run(&PLAIN, &row, &vector));
            prop_assert!((found - exact).abs() <= steps * size * f64::from(f32::EPSILON) / 2.0 + 1e-30);
        }
    }

    #[test]
    fn a_number_that_is_not_finite_shows_in_every_place() {
        for kernels in available() {
            for place in [0, 1, 31, 32, 63, 64, 69] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut row = [1.0; 70];
                    row[place] = bad;
                    // Zero weights must not hide it either.
                    for weight in [1.0, 0.0] {
                        assert!(!run(kernels, &row, &[weight; 70]).is_finite(), "{} {place} {bad}", kernels.name);
                    }
                }
            }
        }
    }
}
