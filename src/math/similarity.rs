//! Products of many stored rows with one query in f64, or with a block of queries in f32.
//!
//! The rows are f32, C order. [`wide`] adds f32 times f64 in f64 and is bound by memory; [`tiles`] multiplies blocks of
//! rows and queries in f32, [`SLICE`] columns at a time, whose sums are added in f64, and is bound by the processor.
//! Each product has its own sums in its own order, so blocks, threads and processors do not change a bit.

use std::sync::{LazyLock, Mutex, PoisonError};

use super::lanes::{self, LANES, Simd};
use super::threads;

/// Columns that f32 sums run over. Each of the 32 lanes then adds 64 products, so their error stays near one rounding.
const SLICE: usize = 2048;

/// Rows that a thread takes at a time from [`wide`].
const WIDE_ROWS: usize = 512;

/// Rows per block of [`tiles`]: the unit of its result's layout.
pub const BLOCK: usize = 192;

/// Rows whose products with all queries are made before the next ones: they stay in the second cache.
const NEAR: usize = 48;

/// Below this many bytes of rows a second thread costs more than it brings.
const WORTH_A_THREAD: usize = 1 << 20;

/// Stored rows and, for each, the factor its products are multiplied with.
#[derive(Clone, Copy)]
pub struct Scaled<'a> {
    rows: &'a [f32],
    cols: usize,
    scales: &'a [f64],
}

impl<'a> Scaled<'a> {
    /// Rows of `cols` numbers; one factor a row. None when the lengths do not agree.
    pub fn new(rows: &'a [f32], cols: usize, scales: &'a [f64]) -> Option<Self> {
        (scales.len().checked_mul(cols) == Some(rows.len()) && cols > 0).then_some(Self { rows, cols, scales })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// Numbers in a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// One row.
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.rows[row * self.cols..(row + 1) * self.cols]
    }

    /// The factor of one row.
    pub fn scale(&self, row: usize) -> f64 {
        self.scales[row]
    }
}

/// The product of each row with `query`, in f64, times the row's factor, into `out`.
///
/// # Panics
/// When `query` has not as many numbers as a row, or `out` not as many as there are rows.
pub fn wide(rows: Scaled, query: &[f64], threads: usize, out: &mut [f64]) {
    wide_with(*BEST, rows, query, threads, out);
}

fn wide_with(kernels: &Kernels, rows: Scaled, query: &[f64], threads: usize, out: &mut [f64]) {
    assert!(query.len() == rows.cols && out.len() == rows.len(), "the shapes must agree");
    let mut padded = query.to_vec();
    padded.resize(query.len().next_multiple_of(LANES), 0.0);
    let chunks = Mutex::new(out.chunks_mut(WIDE_ROWS).enumerate());
    let worth = size_of_val(rows.rows) / WORTH_A_THREAD;
    threads::share(threads.min(worth), || {
        loop {
            let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((chunk, out)) = next else { break };
            let first = chunk * WIDE_ROWS;
            let part = &rows.rows[first * rows.cols..(first + out.len()) * rows.cols];
            // SAFETY: chosen for this processor; `part` holds `out.len()` rows, `padded` whole steps.
            unsafe { (kernels.wide)(part, rows.cols, &padded, out) };
            out.iter_mut().zip(&rows.scales[first..]).for_each(|(product, scale)| *product *= scale);
        }
    });
}

/// Queries rounded to f32, padded to whole steps of the kernels.
pub struct Queries {
    padded: Vec<f32>,
    stride: usize,
    cols: usize,
    count: usize,
}

impl Queries {
    /// `count` queries of `cols` numbers, C order.
    pub fn new(queries: &[f64], cols: usize) -> Self {
        let stride = cols.next_multiple_of(LANES);
        let count = queries.len().checked_div(cols).unwrap_or(0);
        let mut padded = Vec::with_capacity(count * stride);
        for query in queries.chunks_exact(cols.max(1)) {
            padded.extend(query.iter().map(|&x| x as f32));
            padded.resize(padded.len().next_multiple_of(LANES), 0.0);
        }
        Self { padded, stride, cols, count }
    }

    /// Number of queries.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The product of each row with each query, times the row's factor, into `out`: blocks of [`BLOCK`] rows (the last may
/// be shorter), each `[queries, rows of the block]`.
///
/// # Panics
/// When the shapes do not agree.
pub fn tiles(rows: Scaled, queries: &Queries, threads: usize, out: &mut [f64]) {
    tiles_with(*BEST, rows, queries, threads, out);
}

fn tiles_with(kernels: &Kernels, rows: Scaled, queries: &Queries, threads: usize, out: &mut [f64]) {
    assert!(queries.cols == rows.cols && out.len() == rows.len() * queries.count, "the shapes must agree");
    if queries.is_empty() {
        return;
    }
    let blocks = Mutex::new(out.chunks_mut(BLOCK * queries.count).enumerate());
    let worth = size_of_val(rows.rows) / WORTH_A_THREAD;
    threads::share(threads.min(worth), || {
        loop {
            let next = blocks.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((block, out)) = next else { break };
            let (first, count) = (block * BLOCK, out.len() / queries.count);
            out.fill(0.0);
            for near in (0..count).step_by(NEAR) {
                let shape = Shape { first: first + near, rows: NEAR.min(count - near), stride: count };
                // SAFETY: chosen for this processor; the rows lie inside `rows`, their results from `near` on inside
                // each line of `out`.
                unsafe { (kernels.tiles)(rows, queries, shape, &mut out[near..]) };
            }
            for line in out.chunks_exact_mut(count) {
                line.iter_mut().zip(&rows.scales[first..]).for_each(|(product, scale)| *product *= scale);
            }
        }
    });
}

/// Which rows a kernel is to multiply, and the distance of two queries in its result.
#[derive(Clone, Copy)]
struct Shape {
    first: usize,
    rows: usize,
    stride: usize,
}

struct Kernels {
    /// Products of all rows of the first argument with the padded query.
    wide: unsafe fn(&[f32], usize, &[f64], &mut [f64]),
    /// Adds the products to the results.
    tiles: unsafe fn(Scaled, &Queries, Shape, &mut [f64]),
}

static BEST: LazyLock<&'static Kernels> = LazyLock::new(|| kernels(lanes::BEST.name));

/// See [`super::settle`].
#[cfg(feature = "python")]
pub(super) fn settle() {
    LazyLock::force(&BEST);
}

fn kernels(name: &str) -> &'static Kernels {
    match name {
        #[cfg(target_arch = "x86_64")]
        "avx512" => &x86::AVX512,
        #[cfg(target_arch = "x86_64")]
        "avx2" => &x86::AVX2,
        _ => &PLAIN,
    }
}

static PLAIN: Kernels = Kernels { wide: plain_wide, tiles: plain_tiles };

unsafe fn plain_wide(rows: &[f32], cols: usize, query: &[f64], out: &mut [f64]) {
    // SAFETY: the caller's promise; needs no feature.
    unsafe { wide_rows::<lanes::Plain, 1>(rows, cols, query, out) }
}

unsafe fn plain_tiles(rows: Scaled, queries: &Queries, shape: Shape, out: &mut [f64]) {
    // SAFETY: as above.
    unsafe { tile_rows::<lanes::Plain, 2, 2>(rows, queries, shape, out) }
}

/// 32 lanes of f64.
///
/// # Safety
/// As [`Simd`].
unsafe trait Wide: Simd {
    type Wide: Copy;
    unsafe fn zero_wide() -> Self::Wide;
    /// `sum + row * query`, 32 elements, exact but for the rounding of the sum.
    unsafe fn fma_wide(row: *const f32, query: *const f64, sum: Self::Wide) -> Self::Wide;
    unsafe fn lanes(sum: Self::Wide) -> [f64; LANES];
}

// SAFETY: pointers are only read within the promised 32 elements.
unsafe impl Wide for lanes::Plain {
    type Wide = [f64; LANES];
    unsafe fn zero_wide() -> Self::Wide {
        [0.0; LANES]
    }
    #[inline]
    unsafe fn fma_wide(row: *const f32, query: *const f64, sum: Self::Wide) -> Self::Wide {
        // SAFETY: the trait's promise; the reads are unaligned.
        let (row, query) =
            unsafe { (row.cast::<[f32; LANES]>().read_unaligned(), query.cast::<[f64; LANES]>().read_unaligned()) };
        std::array::from_fn(|i| f64::from(row[i]).mul_add(query[i], sum[i]))
    }
    unsafe fn lanes(sum: Self::Wide) -> [f64; LANES] {
        sum
    }
}

/// The lanes added in halves, the same way for every processor.
#[inline]
fn halved(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "intrinsics are inlined only where their processor feature is enabled")]
unsafe fn wide_rows<S: Wide, const R: usize>(rows: &[f32], cols: usize, query: &[f64], out: &mut [f64]) {
    let (start, full) = (rows.as_ptr(), cols - cols % LANES);
    let mut done = 0;
    while done < out.len() {
        let count = if done + R <= out.len() { R } else { 1 };
        // SAFETY: `rows` holds `out.len()` rows of `cols`, `query` is padded; the features are there.
        unsafe {
            let mut sums = [S::zero_wide(); R];
            for i in (0..full).step_by(LANES) {
                for (r, sum) in sums.iter_mut().enumerate().take(count) {
                    let at = start.add((done + r) * cols + i);
                    // The processor's own prefetcher stops at the end of a page, which is less than a row.
                    let ahead = at.cast::<u8>().wrapping_add(4 * R * cols);
                    S::prefetch(ahead);
                    S::prefetch(ahead.wrapping_add(64));
                    *sum = S::fma_wide(at, query.as_ptr().add(i), *sum);
                }
            }
            for (r, sum) in sums.iter_mut().enumerate().take(count) {
                if full < cols {
                    let mut rest = [0.0; LANES];
                    let row = (done + r) * cols;
                    rest[..cols - full].copy_from_slice(&rows[row + full..row + cols]);
                    *sum = S::fma_wide(rest.as_ptr(), query.as_ptr().add(full), *sum);
                }
                out[done + r] = halved(S::lanes(*sum));
            }
        }
        done += count;
    }
}

/// `R` rows with `Q` queries at a time, what is left over one by one.
#[inline(always)]
#[expect(clippy::inline_always, reason = "intrinsics are inlined only where their processor feature is enabled")]
unsafe fn tile_rows<S: Simd, const R: usize, const Q: usize>(
    rows: Scaled,
    queries: &Queries,
    shape: Shape,
    out: &mut [f64],
) {
    let row_tiles = shape.rows - shape.rows % R;
    let query_tiles = queries.count - queries.count % Q;
    for slice in (0..rows.cols).step_by(SLICE) {
        // SAFETY: all rows and queries lie in their slices; the caller's promise for the features.
        unsafe {
            for q in (0..query_tiles).step_by(Q) {
                for r in (0..row_tiles).step_by(R) {
                    tile::<S, R, Q>(rows, queries, shape, (r, q, slice), out);
                }
                for r in row_tiles..shape.rows {
                    tile::<S, 1, Q>(rows, queries, shape, (r, q, slice), out);
                }
            }
            for q in query_tiles..queries.count {
                for r in (0..row_tiles).step_by(R) {
                    tile::<S, R, 1>(rows, queries, shape, (r, q, slice), out);
                }
                for r in row_tiles..shape.rows {
                    tile::<S, 1, 1>(rows, queries, shape, (r, q, slice), out);
                }
            }
        }
    }
}

/// Adds the products of `R` rows and `Q` queries over one slice of columns.
#[inline(always)]
#[expect(clippy::inline_always, reason = "intrinsics are inlined only where their processor feature is enabled")]
unsafe fn tile<S: Simd, const R: usize, const Q: usize>(
    rows: Scaled,
    queries: &Queries,
    shape: Shape,
    (row, query, slice): (usize, usize, usize),
    out: &mut [f64],
) {
    let width = SLICE.min(rows.cols - slice);
    let full = width - width % LANES;
    // SAFETY: the caller's promise.
    unsafe {
        let at_row = rows.rows.as_ptr().add((shape.first + row) * rows.cols + slice);
        let at_query = queries.padded.as_ptr().add(query * queries.stride + slice);
        let mut sums = [[S::zero(); Q]; R];
        for i in (0..full).step_by(LANES) {
            let mut values = [S::zero(); R];
            for (r, value) in values.iter_mut().enumerate() {
                *value = S::f32(at_row.add(r * rows.cols + i));
            }
            for q in 0..Q {
                let weights = S::f32(at_query.add(q * queries.stride + i));
                for (sums, &value) in sums.iter_mut().zip(&values) {
                    sums[q] = S::fma(value, weights, sums[q]);
                }
            }
        }
        if full < width {
            for (r, sums) in sums.iter_mut().enumerate() {
                let mut rest = [0.0; LANES];
                let start = (shape.first + row + r) * rows.cols + slice;
                rest[..width - full].copy_from_slice(&rows.rows[start + full..start + width]);
                for (q, sum) in sums.iter_mut().enumerate() {
                    *sum = S::fma(S::f32(rest.as_ptr()), S::f32(at_query.add(q * queries.stride + full)), *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (q, sum) in sums.iter().enumerate() {
                out[(query + q) * shape.stride + row + r] += f64::from(S::sum(*sum));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::inline_always, reason = "intrinsics are inlined only where their processor feature is enabled")]
mod x86 {
    #[allow(clippy::wildcard_imports, reason = "the intrinsics carry their origin in their names")]
    use std::arch::x86_64::*;

    use super::super::lanes::x86::{Avx2, Avx512};
    use super::{Kernels, LANES, Queries, Scaled, Shape, Wide, tile_rows, wide_rows};

    pub(super) static AVX512: Kernels = Kernels { wide: avx512_wide, tiles: avx512_tiles };
    pub(super) static AVX2: Kernels = Kernels { wide: avx2_wide, tiles: avx2_tiles };

    #[target_feature(enable = "avx512f,avx2,fma,f16c")]
    unsafe fn avx512_wide(rows: &[f32], cols: usize, query: &[f64], out: &mut [f64]) {
        // SAFETY: the caller's promise; the features are enabled on this function, here and below.
        unsafe { wide_rows::<Avx512, 2>(rows, cols, query, out) }
    }

    #[target_feature(enable = "avx512f,avx2,fma,f16c")]
    unsafe fn avx512_tiles(rows: Scaled, queries: &Queries, shape: Shape, out: &mut [f64]) {
        // SAFETY: see `avx512_wide`.
        unsafe { tile_rows::<Avx512, 3, 4>(rows, queries, shape, out) }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn avx2_wide(rows: &[f32], cols: usize, query: &[f64], out: &mut [f64]) {
        // SAFETY: see `avx512_wide`.
        unsafe { wide_rows::<Avx2, 1>(rows, cols, query, out) }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn avx2_tiles(rows: Scaled, queries: &Queries, shape: Shape, out: &mut [f64]) {
        // SAFETY: see `avx512_wide`.
        unsafe { tile_rows::<Avx2, 1, 3>(rows, queries, shape, out) }
    }

    // SAFETY: used only by the functions above; loads are unaligned and within the promised 32 elements.
    unsafe impl Wide for Avx512 {
        type Wide = [__m512d; 4];
        #[inline(always)]
        unsafe fn zero_wide() -> Self::Wide {
            // SAFETY: the trait's promise, here and below.
            unsafe { [_mm512_setzero_pd(); 4] }
        }
        #[inline(always)]
        unsafe fn fma_wide(row: *const f32, query: *const f64, mut sum: Self::Wide) -> Self::Wide {
            for (i, sum) in sum.iter_mut().enumerate() {
                // SAFETY: see `zero_wide`.
                unsafe {
                    let values = _mm512_cvtps_pd(_mm256_loadu_ps(row.add(8 * i)));
                    *sum = _mm512_fmadd_pd(values, _mm512_loadu_pd(query.add(8 * i)), *sum);
                }
            }
            sum
        }
        #[inline(always)]
        unsafe fn lanes(sum: Self::Wide) -> [f64; LANES] {
            let mut lanes = [0.0; LANES];
            for (part, sum) in lanes.as_chunks_mut::<8>().0.iter_mut().zip(sum) {
                // SAFETY: see `zero_wide`; the chunk takes 8.
                unsafe { _mm512_storeu_pd(part.as_mut_ptr(), sum) };
            }
            lanes
        }
    }

    // SAFETY: as above.
    unsafe impl Wide for Avx2 {
        type Wide = [__m256d; 8];
        #[inline(always)]
        unsafe fn zero_wide() -> Self::Wide {
            // SAFETY: the trait's promise, here and below.
            unsafe { [_mm256_setzero_pd(); 8] }
        }
        #[inline(always)]
        unsafe fn fma_wide(row: *const f32, query: *const f64, mut sum: Self::Wide) -> Self::Wide {
            for (i, sum) in sum.iter_mut().enumerate() {
                // SAFETY: see `zero_wide`.
                unsafe {
                    let values = _mm256_cvtps_pd(_mm_loadu_ps(row.add(4 * i)));
                    *sum = _mm256_fmadd_pd(values, _mm256_loadu_pd(query.add(4 * i)), *sum);
                }
            }
            sum
        }
        #[inline(always)]
        unsafe fn lanes(sum: Self::Wide) -> [f64; LANES] {
            let mut lanes = [0.0; LANES];
            for (part, sum) in lanes.as_chunks_mut::<4>().0.iter_mut().zip(sum) {
                // SAFETY: see `zero_wide`; the chunk takes 4.
                unsafe { _mm256_storeu_pd(part.as_mut_ptr(), sum) };
            }
            lanes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((state >> 16) as u16) / 32768.0 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn tiled(found: &[f64], rows: usize, queries: usize) -> Vec<f64> {
        let mut out = vec![0.0; rows * queries];
        for (block, part) in found.chunks(BLOCK * queries).enumerate() {
            let count = part.len() / queries;
            for (q, line) in part.chunks(count).enumerate() {
                out[q * rows + block * BLOCK..][..count].copy_from_slice(line);
            }
        }
        out
    }

    #[test]
    fn products_are_right_for_all_shapes_kernels_and_threads() {
        for (rows, cols, queries) in
            [(1, 1, 1), (2, 31, 3), (7, 33, 5), (193, 64, 4), (400, 301, 9), (5, 4100, 7), (0, 8, 2)]
        {
            let (numbers, asked) = (noise(rows * cols, 1), noise(queries * cols, 2));
            let asked: Vec<f64> = asked.into_iter().map(f64::from).collect();
            let scales: Vec<f64> = (0..rows).map(|i| 1.0 + i as f64 * 0.125).collect();
            let stored = Scaled::new(&numbers, cols, &scales).unwrap();
            let exact: Vec<f64> = (0..queries * rows)
                .map(|i| {
                    let (q, r) = (i / rows, i % rows);
                    let pairs = stored.row(r).iter().zip(&asked[q * cols..(q + 1) * cols]);
                    pairs.map(|(&a, b)| f64::from(a) * b).sum::<f64>() * scales[r]
                })
                .collect();
            let mut first: Option<(Vec<f64>, Vec<f64>)> = None;
            for (threads, name) in lanes::available().iter().flat_map(|k| [(1, k.name), (3, k.name)]) {
                let kernels = kernels(name);
                let mut all = vec![f64::NAN; rows * queries];
                for (query, out) in asked.chunks(cols).zip(all.chunks_mut(rows.max(1))) {
                    wide_with(kernels, stored, query, threads, out);
                }
                let mut blocks = vec![f64::NAN; rows * queries];
                tiles_with(kernels, stored, &Queries::new(&asked, cols), threads, &mut blocks);
                let blocks = tiled(&blocks, rows, queries);
                let bound = (cols as f64).sqrt() * (1.0 + rows as f64 * 0.125);
                for (index, exact) in exact.iter().enumerate() {
                    assert!((all[index] - exact).abs() < 1e-15 * bound * 4.0, "{name}: {} {exact}", all[index]);
                    assert!((blocks[index] - exact).abs() < 4e-7 * bound, "{name}: {} {exact}", blocks[index]);
                }
                let (wide, tile) = first.get_or_insert_with(|| (all.clone(), blocks.clone()));
                assert_eq!((&*wide, &*tile), (&all, &blocks), "{name}, {threads} threads");
            }
        }
    }

    #[test]
    fn shapes_that_disagree_are_refused() {
        assert!(Scaled::new(&[0.0; 6], 3, &[1.0; 3]).is_none());
        assert!(Scaled::new(&[], 0, &[]).is_none());
        assert!(Scaled::new(&[], usize::MAX, &[1.0, 1.0]).is_none());
    }
}
