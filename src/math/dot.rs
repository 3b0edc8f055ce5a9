//! Dot products of many rows with a few vectors, at the speed of memory.
//!
//! One reduction per row ([`super::lanes`]) serves one row and a million alike, so a batch equals single calls bit
//! for bit. Rows that are not packed are gathered, a block at a time, into scratch rows and go the same way, so every
//! layout gives the bits of C order. Elements are read as f32 whatever they are stored as: an f64 copy of an f32
//! matrix scores the same.
//!
//! Looking for NaN costs nothing: a row that holds one has no finite product, and only such rows are looked at.

use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use half::f16;

use super::lanes::{BEST, Direct, Kernels, LANES};
use super::rows::{Number, Rows, zeros};
use super::threads;
use crate::error::{Error, Result};

/// Bytes a thread takes at a time: some tens of microseconds, so that a thread that is held up does not hold up all.
const CHUNK: usize = 1 << 20;

/// Below this many bytes a second thread costs more than it brings.
const WORTH_A_THREAD: usize = 2 << 20;

/// Rows that are gathered together; in Fortran order each column then gives whole cache lines.
const GATHER: usize = 64;

/// A vector prepared for [`dot`] and [`dots`]: padded with zeros to whole steps of the kernels.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    padded: Vec<f32>,
    len: usize,
}

impl Vector {
    /// Rounds to f32, once. `None` when a value is, or becomes, NaN or an infinity.
    pub fn new(values: &[f64]) -> Option<Self> {
        let mut padded: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        padded.resize(values.len().next_multiple_of(LANES), 0.0);
        padded.iter().all(|value| value.is_finite()).then_some(Self { padded, len: values.len() })
    }

    /// The values, without the padding.
    pub fn values(&self) -> &[f32] {
        &self.padded[..self.len]
    }

    /// Product with one row in f64, safe from overflow on the way: for the rare finite row whose f32 product is not.
    fn wide(&self, rows: &Rows, row: usize) -> f64 {
        let largest = (0..self.len).map(|col| rows.value(row, col).abs()).fold(0.0, f64::max);
        let scaled = |(col, &value): (usize, &f32)| rows.value(row, col) / largest * f64::from(value);
        self.values().iter().enumerate().map(scaled).sum::<f64>() * largest
    }
}

/// Which kernels this processor gets: `avx512`, `avx2` or `plain`. All give the same bits.
pub fn kernels() -> &'static str {
    BEST.name
}

/// Dot product of one row with `vector`.
///
/// # Errors
/// `Kind::Value` when the row holds NaN or an infinity (says which column), or has another width.
pub fn dot(rows: &Rows, row: usize, vector: &Vector) -> Result<f64> {
    check(rows, &[vector])?;
    if row >= rows.len() {
        return Err(Error::value(format!("row {row} of a matrix that has {}", rows.len())));
    }
    let mut result = [0.0];
    let mut scratch = Vec::new();
    block(*BEST, rows, row, &[vector], &mut [&mut result], &mut scratch).map_err(|row| not_finite(rows, row))?;
    Ok(result[0])
}

/// Dot products of all rows with each of `vectors`, in one pass over the rows: `[vectors, rows]`, C order, each
/// product put through `finish`.
///
/// `threads` is how many to use at most; `None` means one for each processor. Small work stays on the caller's.
///
/// # Errors
/// `Kind::Value` when a row holds NaN or an infinity: the first such row is named. Also when widths differ, and when
/// the result does not fit into memory.
///
/// ```
/// use ferroute::math::{dot::{Vector, dots}, rows::Rows};
/// let rows = Rows::of_f32(&[1.0, 2.0, 3.0, 4.0], 2);
/// let ones = Vector::new(&[1.0, 1.0]).ok_or("not finite")?;
/// let sums = dots(&rows, &[&ones], None, |x| x)?;
/// assert_eq!(sums, [3.0, 7.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn dots(
    rows: &Rows,
    vectors: &[&Vector],
    threads: Option<usize>,
    finish: impl Fn(f64) -> f64 + Sync,
) -> Result<Vec<f64>> {
    check(rows, vectors)?;
    dots_with(*BEST, rows, vectors, threads, finish)
}

fn dots_with(
    kernels: &Kernels,
    rows: &Rows,
    vectors: &[&Vector],
    threads: Option<usize>,
    finish: impl Fn(f64) -> f64 + Sync,
) -> Result<Vec<f64>> {
    let mut results = zeros("the result", rows.len(), vectors.len())?;
    if results.is_empty() {
        return Ok(results);
    }
    let step = (CHUNK / (rows.cols() * rows.number().size()).max(1)).max(1);
    let chunks = Mutex::new(chunks(&mut results, rows.len(), step).into_iter().enumerate());
    // The first bad row so far. Chunks are handed out in order, so all before it are done or being done.
    let bad = AtomicUsize::new(usize::MAX);
    let work = || {
        let mut scratch = Vec::new();
        loop {
            let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, mut out)) = next else { break };
            if index * step >= bad.load(Ordering::Relaxed) {
                break;
            }
            if let Err(row) = block(kernels, rows, index * step, vectors, &mut out, &mut scratch) {
                bad.fetch_min(row, Ordering::Relaxed);
            }
            for product in out.into_iter().flatten() {
                *product = finish(*product);
            }
        }
    };
    let worth = (rows.bytes() / WORTH_A_THREAD).min(rows.len().div_ceil(step));
    threads::share(threads.unwrap_or(usize::MAX).min(worth), work);
    match bad.into_inner() {
        usize::MAX => Ok(results),
        row => Err(not_finite(rows, row)),
    }
}

/// The result `[vectors, rows]` cut into chunks of `step` rows, each with one slice for each vector.
fn chunks(results: &mut [f64], rows: usize, step: usize) -> Vec<Vec<&mut [f64]>> {
    let mut chunks: Vec<Vec<&mut [f64]>> = (0..rows.div_ceil(step)).map(|_| Vec::new()).collect();
    for line in results.chunks_mut(rows) {
        for (chunk, part) in chunks.iter_mut().zip(line.chunks_mut(step)) {
            chunk.push(part);
        }
    }
    chunks
}

/// Fills `out` (a slice for each vector, all of one length) with the products of the rows from `first` on.
/// The error is the first row that is not finite.
fn block(
    kernels: &Kernels,
    rows: &Rows,
    first: usize,
    vectors: &[&Vector],
    out: &mut [&mut [f64]],
    scratch: &mut Vec<f32>,
) -> Result<(), usize> {
    if rows.is_packed() {
        match rows.number() {
            Number::F16 => return packed::<f16>(kernels, (rows, first), (rows, first), vectors, out),
            Number::F32 => return packed::<f32>(kernels, (rows, first), (rows, first), vectors, out),
            Number::F64 => return packed::<f64>(kernels, (rows, first), (rows, first), vectors, out),
            _ => {}
        }
    }
    let count = out.first().map_or(0, |part| part.len());
    for start in (0..count).step_by(GATHER) {
        let end = count.min(start + GATHER);
        scratch.resize((end - start) * rows.cols(), 0.0);
        rows.gather(first + start, end - start, scratch);
        let mut parts: Vec<&mut [f64]> = out.iter_mut().map(|part| &mut part[start..end]).collect();
        let copy = Rows::of_f32(scratch, rows.cols());
        packed::<f32>(kernels, (&copy, 0), (rows, first + start), vectors, &mut parts)?;
    }
    Ok(())
}

/// As [`block`], for packed rows of `T`. The kernels see the rows of `read` from `from` on, which are those of
/// `origin` from `first` on, or a gathered copy of them.
fn packed<T: Direct>(
    kernels: &Kernels,
    (read, from): (&Rows, usize),
    (origin, first): (&Rows, usize),
    vectors: &[&Vector],
    out: &mut [&mut [f64]],
) -> Result<(), usize> {
    let kernel = T::kernels(kernels);
    let count = out.first().map_or(0, |part| part.len());
    let place = |index: usize| read.at(from + index, 0).cast::<T>();
    let ahead = read.row_step().wrapping_mul(2);
    for index in (0..count).step_by(2) {
        // The first vector fetches the rows after these for all.
        let aheads = iter::once(ahead).chain(iter::repeat(0));
        for ((vector, part), ahead) in vectors.iter().zip(out.iter_mut()).zip(aheads) {
            let (len, weights) = (vector.len, vector.padded.as_ptr());
            // A last row without a partner goes alone.
            let products = if index + 1 < count {
                // SAFETY: the rows lie inside `read` and are packed; `check` has compared the widths; vectors are padded.
                unsafe { (kernel.two)([place(index), place(index + 1)], ahead, len, weights) }
            } else {
                // SAFETY: as above.
                unsafe { [(kernel.one)([place(index)], 0, len, weights)[0], 0.0] }
            };
            for ((row, slot), product) in part.iter_mut().enumerate().skip(index).zip(products) {
                *slot = if product.is_finite() {
                    f64::from(product)
                } else if bad_column(origin, first + row).is_some() {
                    return Err(first + row);
                } else {
                    vector.wide(origin, first + row)
                };
            }
        }
    }
    Ok(())
}

fn bad_column(rows: &Rows, row: usize) -> Option<usize> {
    (0..rows.cols()).find(|&col| !rows.value(row, col).is_finite())
}

fn not_finite(rows: &Rows, row: usize) -> Error {
    let col = bad_column(rows, row).unwrap_or(0);
    let what = if rows.value(row, col).is_nan() { "NaN" } else { "an infinity" };
    Error::value(format!("row {row} holds {what} (in column {col}); all numbers must be finite"))
}

fn check(rows: &Rows, vectors: &[&Vector]) -> Result<()> {
    match vectors.iter().find(|vector| vector.len != rows.cols()) {
        Some(vector) => Err(Error::value(format!("expected rows of {} numbers, found {}", vector.len, rows.cols()))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::available;
    use super::*;

    /// Numbers without a pattern that a wrong index could hide in.
    fn noise(count: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((state >> 16) as u16) / 32768.0 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn vector(count: usize, seed: usize) -> Vector {
        let values: Vec<f64> = noise(count + seed)[seed..].iter().map(|&value| f64::from(value)).collect();
        Vector::new(&values).unwrap()
    }

    #[test]
    fn threads_chunks_and_pairs_do_not_change_a_bit() {
        let (rows, cols) = (5_000, 301);
        let numbers = noise(rows * cols);
        let matrix = Rows::of_f32(&numbers, cols);
        let vectors = [vector(cols, 1), vector(cols, 2), vector(cols, 3)];
        let single: Vec<f64> = vectors
            .iter()
            .flat_map(|v| (0..rows).map(move |row| (v, row)))
            .map(|(v, row)| dot(&matrix, row, v).unwrap())
            .collect();
        let all: Vec<&Vector> = vectors.iter().collect();
        for threads in [Some(0), Some(1), Some(2), Some(7), None] {
            assert_eq!(dots(&matrix, &all, threads, |x| x).unwrap(), single, "{threads:?} threads");
        }
        for kernels in available() {
            assert_eq!(dots_with(kernels, &matrix, &all, None, |x| x).unwrap(), single, "{}", kernels.name);
        }
    }

    #[test]
    fn the_first_bad_row_is_named_whoever_finds_it() {
        let (rows, cols) = (9_000, 256);
        let mut numbers = noise(rows * cols);
        for (row, col, bad) in [(8_999, 0, f32::NAN), (4_321, 255, f32::NEG_INFINITY), (4_322, 3, f32::NAN)] {
            numbers[row * cols + col] = bad;
            let error = dots(&Rows::of_f32(&numbers, cols), &[&vector(cols, 1)], Some(4), |x| x).unwrap_err();
            let (row, col, what) =
                if bad.is_nan() && row > 5_000 { (row, col, "NaN") } else { (4_321, 255, "an infinity") };
            assert_eq!(
                error.message(),
                format!("row {row} holds {what} (in column {col}); all numbers must be finite")
            );
        }
    }

    #[test]
    fn a_finite_row_whose_product_overflows_is_computed_in_f64() {
        let ones = Vector::new(&[1.0; 4]).unwrap();
        let huge = [f32::MAX, f32::MAX, -f32::MAX, 1.0];
        let expected = f64::from(f32::MAX);
        let found = dot(&Rows::of_f32(&huge, 4), 0, &ones).unwrap();
        assert!((found / expected - 1.0).abs() < 1e-12, "{found}");
        // Beyond f32 altogether, and beyond f64 on the way.
        assert_eq!(dot(&Rows::of_f64(&[1e300, 0.0, 0.0, 1.0], 4), 0, &ones).unwrap(), 1e300);
        assert_eq!(dot(&Rows::of_f64(&[f64::MAX, f64::MAX, 0.0, 0.0], 4), 0, &ones).unwrap(), f64::INFINITY);
        assert_eq!(dot(&Rows::of_f64(&[f64::MAX, f64::MAX, -f64::MAX, -f64::MAX], 4), 0, &ones).unwrap(), 0.0);
    }

    #[test]
    fn a_result_beyond_memory_is_an_error() {
        let one = [1.0_f32; 4];
        for (len, pairs) in [(usize::MAX >> 4, 1), (usize::MAX >> 4, 64), (1 << 50, 1)] {
            // SAFETY: all rows are the same four numbers.
            let rows = unsafe { Rows::from_raw(one.as_ptr().cast(), Number::F32, (len, 4), (0, 4)) };
            let v = vector(4, 0);
            let error = dots(&rows, &vec![&v; pairs], None, |x| x).unwrap_err();
            assert!(error.message().starts_with("the result of ") && error.message().ends_with("memory"), "{error}");
        }
    }

    #[test]
    fn bad_shapes_are_errors() {
        let v = vector(4, 0);
        assert!(dot(&Rows::of_f32(&[0.0; 6], 3), 0, &v).is_err());
        assert!(dot(&Rows::of_f32(&[0.0; 8], 4), 2, &v).is_err());
        assert!(dots(&Rows::of_f32(&[0.0; 6], 3), &[&v], None, |x| x).is_err());
        assert!(dots(&Rows::of_f32(&[], 4), &[&v], None, |x| x).unwrap().is_empty());
        assert!(dots(&Rows::of_f32(&[0.0; 4], 4), &[], None, |x| x).unwrap().is_empty());
        assert!(Vector::new(&[1e300]).is_none());
    }
}
