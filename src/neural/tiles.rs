//! The inner loops of a product: a few rows times a panel of 32 columns, sums in registers.
//!
//! A panel holds, for each step along the inner dimension, one number (f32) or one pair of neighbours (bf16) of each
//! of its 32 columns. Every sum is taken in the order of the steps whatever the rows beside it, so a row's result does
//! not depend on how many there are.

#![expect(clippy::inline_always, reason = "intrinsics are inlined only where their processor feature is enabled")]

use super::simd::Simd;
use super::vector;

/// Columns of a panel.
pub(super) const PANEL: usize = 32;

/// Rows of a tile on any processor, at most.
pub(super) const MOST_ROWS: usize = 12;

/// What happens to a tile before it is stored: [`super::linear::Then`], and the gate.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Store,
    Gelu,
    Tanh,
    Add,
    Gate,
}

/// Where a tile goes.
#[derive(Debug)]
pub(super) struct Finish<'a> {
    pub(super) rows: usize,
    /// Columns that exist, at most [`PANEL`].
    pub(super) columns: usize,
    pub(super) end: End,
    /// [`PANEL`] numbers.
    pub(super) bias: Option<&'a [f32]>,
    /// For [`End::Add`]: rows like those of `out`.
    pub(super) residual: *const f32,
    pub(super) out: *mut f32,
    /// From one row of `out` to the next.
    pub(super) stride: usize,
}

/// A tile of sums, in rows of [`PANEL`].
pub(super) type Sums = [f32; MOST_ROWS * PANEL];

/// Bias and activation on a tile of sums, which then goes where it belongs.
///
/// # Safety
/// `out` (and the residual, where there is one) have the rows and columns. The processor has what `S` needs.
#[inline(always)]
pub(super) unsafe fn finish<S: Simd>(sums: &mut Sums, ups: &Sums, finish: &Finish) {
    let width = finish.columns;
    for row in 0..finish.rows {
        let (sums, ups) = (&mut sums[row * PANEL..][..PANEL], &ups[row * PANEL..][..PANEL]);
        let at = row * finish.stride;
        if let Some(bias) = finish.bias {
            sums.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
        }
        let sums = sums.as_mut_ptr();
        // SAFETY: the caller's promise.
        unsafe {
            let out = finish.out.add(at);
            match finish.end {
                End::Store => {}
                End::Gelu => vector::gelu_row::<S>(sums, PANEL),
                End::Gate => vector::gate_row::<S>(sums, ups.as_ptr(), PANEL),
                End::Tanh => (0..width).for_each(|i| *sums.add(i) = (*sums.add(i)).tanh()),
                End::Add => {
                    vector::add_row::<S>(sums, finish.residual.add(at), out, width);
                    continue;
                }
            }
            vector::copy_row::<S>(sums, out, width);
        }
    }
}

/// How many steps before they are needed weights are fetched. The processor's own prefetcher stops at the end of a
/// page and is not awake yet where few rows make the steps short; beyond a panel's end lies the next.
const AHEAD: usize = 64;

/// Asks for the cache line at an address that may lie anywhere.
#[inline(always)]
fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, and every x86-64 processor has it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// One tile: `out[r][c] (+)= sum over steps of x[r][step] * panel[step][c]`.
///
/// # Safety
/// `x` has `R` rows of `steps`, `stride` apart; `panel` has `steps * PANEL`; `out` has `R` rows of [`PANEL`] numbers,
/// `out_stride` apart. The processor has what `S` needs.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, P: Panel<S>, const R: usize>(
    x: *const P::X,
    stride: usize,
    panel: *const P::W,
    steps: usize,
    out: *mut f32,
    out_stride: usize,
    add: bool,
) {
    for column in (0..PANEL).step_by(2 * S::LANES) {
        // SAFETY: the caller's promise; `column` and the two vectors from it lie within the panel.
        unsafe {
            let mut sums = [[S::splat(0.0); 2]; R];
            if add {
                for (row, sum) in sums.iter_mut().enumerate() {
                    let at = out.add(row * out_stride + column);
                    *sum = [S::load(at), S::load(at.add(S::LANES))];
                }
            }
            for step in 0..steps {
                let later = panel.wrapping_add((step + AHEAD) * PANEL + column);
                for line in (0..2 * S::LANES * size_of::<P::W>()).step_by(64) {
                    prefetch(later.cast::<u8>().wrapping_add(line));
                }
                P::step(x.add(step), stride, panel.add(step * PANEL + column), &mut sums);
            }
            for (row, sum) in sums.iter().enumerate() {
                let at = out.add(row * out_stride + column);
                S::store(at, sum[0]);
                S::store(at.add(S::LANES), sum[1]);
            }
        }
    }
}

/// What numbers a panel holds and how they are multiplied.
pub(super) trait Panel<S: Simd> {
    /// One step of a row.
    type X: Copy;
    /// One step of a column.
    type W: Copy;

    /// Adds one step to the sums of `R` rows.
    ///
    /// # Safety
    /// `x` has `R` rows, `stride` apart; `w` has two vectors' columns. The processor has what `S` needs.
    unsafe fn step<const R: usize>(x: *const Self::X, stride: usize, w: *const Self::W, sums: &mut [[S::V; 2]; R]);
}

/// f32 by f32.
pub(super) struct Single;

impl<S: Simd> Panel<S> for Single {
    type X = f32;
    type W = f32;

    #[inline(always)]
    unsafe fn step<const R: usize>(x: *const f32, stride: usize, w: *const f32, sums: &mut [[S::V; 2]; R]) {
        // SAFETY: the caller's promise.
        unsafe {
            let (w0, w1) = (S::load(w), S::load(w.add(S::LANES)));
            for (row, sum) in sums.iter_mut().enumerate() {
                let x = S::splat(*x.add(row * stride));
                *sum = [S::fma(x, w0, sum[0]), S::fma(x, w1, sum[1])];
            }
        }
    }
}

/// Pairs of f32 by pairs of bf16, which are widened.
pub(super) struct Widened;

impl<S: Simd> Panel<S> for Widened {
    type X = [f32; 2];
    type W = [u16; 2];

    #[inline(always)]
    unsafe fn step<const R: usize>(x: *const [f32; 2], stride: usize, w: *const [u16; 2], sums: &mut [[S::V; 2]; R]) {
        // SAFETY: the caller's promise.
        unsafe {
            let ([a0, b0], [a1, b1]) = (S::pairs(w.cast()), S::pairs(w.add(S::LANES).cast()));
            for (row, sum) in sums.iter_mut().enumerate() {
                let x = x.add(row * stride).cast::<f32>();
                let (a, b) = (S::splat(*x), S::splat(*x.add(1)));
                *sum = [S::fma(a, a0, sum[0]), S::fma(a, a1, sum[1])];
                *sum = [S::fma(b, b0, sum[0]), S::fma(b, b1, sum[1])];
            }
        }
    }
}

/// Pairs of bf16 by pairs of bf16, in one instruction.
#[cfg(target_arch = "x86_64")]
pub(super) struct Dotted;

#[cfg(target_arch = "x86_64")]
impl Panel<super::simd::Avx512> for Dotted {
    type X = [u16; 2];
    type W = [u16; 2];

    #[inline(always)]
    unsafe fn step<const R: usize>(
        x: *const [u16; 2],
        stride: usize,
        w: *const [u16; 2],
        sums: &mut [[std::arch::x86_64::__m512; 2]; R],
    ) {
        use std::arch::x86_64::{__m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32};
        use std::mem::transmute;
        // SAFETY: the caller's promise, and that the function this is inlined into has `avx512bf16`.
        unsafe {
            let w0 = transmute::<__m512i, __m512bh>(_mm512_loadu_si512(w.cast()));
            let w1 = transmute::<__m512i, __m512bh>(_mm512_loadu_si512(w.add(16).cast()));
            for (row, sum) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_epi32(x.add(row * stride).cast::<i32>().read_unaligned());
                let x = transmute::<__m512i, __m512bh>(x);
                *sum = [_mm512_dpbf16_ps(sum[0], x, w0), _mm512_dpbf16_ps(sum[1], x, w1)];
            }
        }
    }
}
