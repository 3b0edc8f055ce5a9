//! A matrix somebody else owns, of any number type and layout, read where it lies.

use std::marker::PhantomData;

use half::f16;

use super::lanes::Element;
use crate::error::{Error, Result};

/// What the elements of a [`Rows`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Number {
    F16,
    F32,
    F64,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
}

impl Number {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::F16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }
}

/// Runs `$body` with the type alias `$T` standing for the element type of `$number`.
macro_rules! with_element {
    ($number:expr, $T:ident => $body:expr) => {
        match $number {
            $crate::math::rows::Number::F16 => {
                type $T = half::f16;
                $body
            }
            $crate::math::rows::Number::F32 => {
                type $T = f32;
                $body
            }
            $crate::math::rows::Number::F64 => {
                type $T = f64;
                $body
            }
            $crate::math::rows::Number::I8 => {
                type $T = i8;
                $body
            }
            $crate::math::rows::Number::U8 => {
                type $T = u8;
                $body
            }
            $crate::math::rows::Number::I16 => {
                type $T = i16;
                $body
            }
            $crate::math::rows::Number::U16 => {
                type $T = u16;
                $body
            }
            $crate::math::rows::Number::I32 => {
                type $T = i32;
                $body
            }
            $crate::math::rows::Number::U32 => {
                type $T = u32;
                $body
            }
            $crate::math::rows::Number::I64 => {
                type $T = i64;
                $body
            }
            $crate::math::rows::Number::U64 => {
                type $T = u64;
                $body
            }
        }
    };
}

/// A borrowed matrix `[rows, cols]`: C or Fortran order, strided, reversed, broadcast, unaligned.
///
/// ```
/// use ferroute::math::rows::Rows;
/// let numbers = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let rows = Rows::of_f32(&numbers, 3);
/// assert_eq!((rows.len(), rows.cols()), (2, 3));
/// assert_eq!(rows.value(1, 0), 4.0);
/// ```
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    start: *const u8,
    number: Number,
    len: usize,
    cols: usize,
    /// Bytes from one row to the next, and from one column to the next.
    row_step: isize,
    col_step: isize,
    life: PhantomData<&'a [u8]>,
}

// SAFETY: a `Rows` only reads, like the shared slice it stands for.
unsafe impl Send for Rows<'_> {}
// SAFETY: as above.
unsafe impl Sync for Rows<'_> {}

impl<'a> Rows<'a> {
    /// A view of memory described by a first element and two steps in bytes.
    ///
    /// # Safety
    /// For the lifetime `'a`, every `start + row * row_step + col * col_step` with `row < len`, `col < cols` must be
    /// readable as one `number` (at any alignment). Somebody else writing there meanwhile gives arbitrary scores.
    pub unsafe fn from_raw(
        start: *const u8,
        number: Number,
        (len, cols): (usize, usize),
        (row_step, col_step): (isize, isize),
    ) -> Self {
        Self { start, number, len, cols, row_step, col_step, life: PhantomData }
    }

    /// C-ordered rows of `cols` elements; elements left over after the last whole row are not seen.
    pub fn of_f32(numbers: &'a [f32], cols: usize) -> Self {
        Self::of(numbers, Number::F32, cols)
    }

    /// As [`Rows::of_f32`], for f64.
    pub fn of_f64(numbers: &'a [f64], cols: usize) -> Self {
        Self::of(numbers, Number::F64, cols)
    }

    /// As [`Rows::of_f32`], for f16.
    pub fn of_f16(numbers: &'a [f16], cols: usize) -> Self {
        Self::of(numbers, Number::F16, cols)
    }

    fn of<T: Element>(numbers: &'a [T], number: Number, cols: usize) -> Self {
        let rows = numbers.len().checked_div(cols).unwrap_or(0);
        let col_step = size_of::<T>() as isize;
        // SAFETY: the shape lies within the slice, which lives for `'a`.
        unsafe { Self::from_raw(numbers.as_ptr().cast(), number, (rows, cols), (col_step * cols as isize, col_step)) }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Elements of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// What the elements are.
    pub fn number(&self) -> Number {
        self.number
    }

    /// Bytes that a pass over all rows reads.
    pub fn bytes(&self) -> usize {
        self.len.saturating_mul(self.cols).saturating_mul(self.number.size())
    }

    /// Whether the elements of a row lie side by side.
    pub(super) fn is_packed(&self) -> bool {
        self.cols <= 1 || self.col_step == self.number.size() as isize
    }

    /// Bytes from one row to the next.
    pub(super) fn row_step(&self) -> isize {
        self.row_step
    }

    /// Where an element lies; inside the matrix if `row` and `col` are.
    pub(super) fn at(&self, row: usize, col: usize) -> *const u8 {
        let offset =
            (row as isize).wrapping_mul(self.row_step).wrapping_add((col as isize).wrapping_mul(self.col_step));
        self.start.wrapping_offset(offset)
    }

    /// One element as f64. Zero outside the matrix.
    pub fn value(&self, row: usize, col: usize) -> f64 {
        if row >= self.len || col >= self.cols {
            return 0.0;
        }
        // SAFETY: inside the matrix.
        with_element!(self.number, T => unsafe { self.at(row, col).cast::<T>().read_unaligned() }.wide())
    }

    /// All elements as f32, C order.
    ///
    /// # Errors
    /// `Kind::Value` when they do not fit into memory.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let mut copy = zeros("a copy", self.len, self.cols)?;
        self.gather(0, self.len, &mut copy);
        Ok(copy)
    }

    /// Copies `count` rows from `first` on, as f32, into C-ordered `scratch`.
    pub(crate) fn gather(&self, first: usize, count: usize, scratch: &mut [f32]) {
        debug_assert!(first + count <= self.len && scratch.len() >= count * self.cols);
        with_element!(self.number, T => self.gather_as::<T>(first, count, scratch));
    }

    fn gather_as<T: Element>(&self, first: usize, count: usize, scratch: &mut [f32]) {
        /// Columns taken side by side: enough to fill a cache line of `scratch`, few enough to stay in the first cache.
        const TILE: usize = 16;
        for left in (0..self.cols).step_by(TILE) {
            let width = TILE.min(self.cols - left);
            for row in 0..count {
                let mut from = self.at(first + row, left);
                for slot in scratch.iter_mut().skip(row * self.cols + left).take(width) {
                    // SAFETY: the element lies at a row and a column of the matrix.
                    *slot = unsafe { from.cast::<T>().read_unaligned() }.narrow();
                    // Past the last column this may point anywhere, but then it is not read.
                    from = from.wrapping_offset(self.col_step);
                }
            }
        }
    }
}

/// `rows * cols` zeros, or an error that calls them `what`.
pub(crate) fn zeros<T: Clone + Default>(what: &str, rows: usize, cols: usize) -> Result<Vec<T>> {
    let mut numbers = Vec::new();
    let size = rows.checked_mul(cols).filter(|&size| numbers.try_reserve_exact(size).is_ok());
    let too_large = || Error::value(format!("{what} of {rows} x {cols} numbers does not fit into memory"));
    numbers.resize(size.ok_or_else(too_large)?, T::default());
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_beyond_memory_is_an_error() {
        for shape in [(usize::MAX, 2), (1 << 60, 1)] {
            // SAFETY: all elements are the same number.
            let rows = unsafe { Rows::from_raw([1.0_f32].as_ptr().cast(), Number::F32, shape, (0, 0)) };
            assert!(rows.to_f32().unwrap_err().message().contains("does not fit into memory"));
        }
    }

    #[test]
    fn every_number_type_is_read_as_f32() {
        fn check<T: Element>(values: &[T], number: Number, expected: &[f32]) {
            let rows = Rows::of(values, number, values.len());
            assert_eq!(rows.to_f32().unwrap(), expected, "{number:?}");
            assert_eq!(rows.value(0, 1) as f32, expected[1], "{number:?}");
            assert_eq!(number.size(), size_of::<T>(), "{number:?}");
        }
        check(&[1_i8, -128], Number::I8, &[1.0, -128.0]);
        check(&[1_u8, 255], Number::U8, &[1.0, 255.0]);
        check(&[1_i16, -32768], Number::I16, &[1.0, -32768.0]);
        check(&[1_u16, 65535], Number::U16, &[1.0, 65535.0]);
        check(&[1_i32, -7], Number::I32, &[1.0, -7.0]);
        check(&[1_u32, u32::MAX], Number::U32, &[1.0, 4_294_967_300.0]);
        check(&[1_i64, i64::MIN], Number::I64, &[1.0, -9_223_372_000_000_000_000.0]);
        check(&[1_u64, 7], Number::U64, &[1.0, 7.0]);
        check(&[f16::from_f32(0.5), f16::from_f32(-2.0)], Number::F16, &[0.5, -2.0]);
        check(&[1.0_f32, 0.1], Number::F32, &[1.0, 0.1]);
        check(&[1.0_f64, 1e-3], Number::F64, &[1.0, 1e-3]);
    }

    #[test]
    fn gathering_follows_the_steps() {
        // Fortran order, then the same reversed in both directions, over more columns than a tile.
        let (rows, cols) = (3_usize, 37_usize);
        let numbers: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
        let (down, right) = (4_isize, 4 * rows as isize);
        // SAFETY: both views stay inside `numbers`.
        let fortran = unsafe { Rows::from_raw(numbers.as_ptr().cast(), Number::F32, (rows, cols), (down, right)) };
        let last = numbers[rows * cols - 1..].as_ptr().cast();
        // SAFETY: as above.
        let reversed = unsafe { Rows::from_raw(last, Number::F32, (rows, cols), (-down, -right)) };
        let mut scratch = vec![0.0; 2 * cols];
        fortran.gather(1, 2, &mut scratch);
        for col in 0..cols {
            assert_eq!(scratch[col], (col * rows + 1) as f32);
            assert_eq!(scratch[cols + col], (col * rows + 2) as f32);
            assert_eq!(fortran.value(2, col), reversed.value(0, cols - 1 - col));
        }
        assert!(!fortran.is_packed() && !reversed.is_packed());
    }
}
