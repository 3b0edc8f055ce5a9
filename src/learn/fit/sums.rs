//! Sums of products over rows: all that a regression needs to know of them.
//!
//! They add and subtract, so the sums of a training part are those of all rows less those of the part held out.

use super::Design;
use crate::learn::product::{LANES, Left, product};
use crate::math::threads::share;

/// Rows multiplied together: their products are summed in f32, all else in f64.
const BLOCK: usize = 256;
/// Rows of a task. The order of sums depends on it alone, so the number of threads shows in no bit.
const TASK: usize = 16 * BLOCK;

/// Sums over a set of rows.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    /// How many rows.
    pub(super) count: f64,
    /// Of each number, the logit last.
    pub(super) totals: Vec<f64>,
    /// Of the products of each two, `[across, across]`.
    pub(super) products: Vec<f64>,
}

impl Sums {
    /// Over the given rows of a design.
    pub(super) fn of(design: &Design, rows: &[u32]) -> Self {
        let across = design.across();
        let mut parts: Vec<Option<Self>> = vec![None; rows.len().div_ceil(TASK)];
        let work = std::sync::Mutex::new(parts.iter_mut().zip(rows.chunks(TASK)));
        let next = || work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
        share(design.threads.min(rows.len().div_ceil(TASK)), || {
            while let Some((part, rows)) = next() {
                *part = Some(Self::of_part(design, rows));
            }
        });
        let mut all = Self { count: 0.0, totals: vec![0.0; across], products: vec![0.0; across * across] };
        parts.iter().flatten().for_each(|part| all.add(1.0, part));
        all
    }

    fn of_part(design: &Design, rows: &[u32]) -> Self {
        let across = design.across();
        let padded = across.next_multiple_of(LANES);
        let mut block = vec![0.0_f32; BLOCK * padded];
        let mut out = vec![0.0_f32; padded * padded];
        let mut totals = vec![0.0; across];
        let mut products = vec![0.0; across * across];
        for rows in rows.chunks(BLOCK) {
            for (slot, &row) in block.chunks_exact_mut(padded).zip(rows) {
                slot[..across].copy_from_slice(design.whole(row as usize));
            }
            let block = &block[..rows.len() * padded];
            product(Left { values: block, row_step: 1, depth_step: padded }, block, padded, &mut out);
            for (sums, found) in products.chunks_exact_mut(across).zip(out.chunks_exact(padded)) {
                sums.iter_mut().zip(found).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            for row in block.chunks_exact(padded) {
                totals.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
            }
        }
        Self { count: rows.len() as f64, totals, products }
    }

    /// These and `factor` times those of other rows.
    pub(super) fn add(&mut self, factor: f64, other: &Self) {
        self.count += factor * other.count;
        self.totals.iter_mut().zip(&other.totals).for_each(|(a, b)| *a += factor * b);
        self.products.iter_mut().zip(&other.products).for_each(|(a, b)| *a += factor * b);
    }
}

/// Sums of a target over rows.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Of the target.
    pub(super) total: f64,
    /// Of its square.
    pub(super) square: f64,
    /// Of its products with each number of a row, the logit last.
    pub(super) products: Vec<f64>,
}

impl Target {
    /// Of `value(row)` over the given rows.
    pub(super) fn of(design: &Design, rows: &[u32], value: impl Fn(u32) -> f64 + Sync) -> Self {
        let across = design.across();
        let nothing = Self { total: 0.0, square: 0.0, products: vec![0.0; across] };
        let mut parts = vec![nothing.clone(); rows.len().div_ceil(TASK)];
        let work = std::sync::Mutex::new(parts.iter_mut().zip(rows.chunks(TASK)));
        let next = || work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
        share(design.threads.min(rows.len().div_ceil(TASK)), || {
            while let Some((part, rows)) = next() {
                for &row in rows {
                    let value = value(row);
                    part.total += value;
                    part.square += value * value;
                    let numbers = design.whole(row as usize);
                    part.products.iter_mut().zip(numbers).for_each(|(sum, &x)| *sum += value * f64::from(x));
                }
            }
        });
        let mut all = nothing;
        for part in &parts {
            all.add(1.0, part);
        }
        all
    }

    /// These and `factor` times those of other rows.
    pub(super) fn add(&mut self, factor: f64, other: &Self) {
        self.total += factor * other.total;
        self.square += factor * other.square;
        self.products.iter_mut().zip(&other.products).for_each(|(a, b)| *a += factor * b);
    }
}
