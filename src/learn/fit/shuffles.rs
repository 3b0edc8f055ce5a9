//! Labels as they might have been if prompts told nothing of them.
//!
//! Rows of a unit depend on each other, so units are what is exchanged. Units of different sizes cannot trade places
//! row by row: laid end to end, a long one would be cut over several short ones, which then look independent, and a
//! test against such shuffles finds signals that are not there.

use super::folds::by_unit;
use crate::learn::noise::Key;

/// Labels in units, ready to be shuffled.
pub(super) struct Shuffles<'a> {
    labels: &'a [f64],
    units: Vec<Vec<u32>>,
    /// Mean label of all rows.
    mean: f64,
    /// Each unit's mean less `mean`, over `scales`; empty where all units have one size.
    standardised: Vec<f64>,
    /// Deviation that the mean of a unit of this size has, up to a factor.
    scales: Vec<f64>,
}

impl<'a> Shuffles<'a> {
    /// Of the labels of `rows`, at least two.
    pub(super) fn new(labels: &'a [f64], units: &[u32], rows: &[u32]) -> Self {
        let units = by_unit(units, rows);
        let total: f64 = rows.iter().map(|&row| labels[row as usize]).sum();
        let mean = total / rows.len().max(1) as f64;
        let mut made = Self { labels, units, mean, standardised: Vec::new(), scales: Vec::new() };
        if made.units.iter().any(|unit| unit.len() != made.units[0].len()) {
            made.scales = made.deviations(rows.len() as f64);
            made.standardised =
                made.units.iter().zip(&made.scales).map(|(unit, scale)| (made.of(unit) - mean) / scale).collect();
        }
        made
    }

    /// Mean label of a unit.
    fn of(&self, unit: &[u32]) -> f64 {
        unit.iter().map(|&row| self.labels[row as usize]).sum::<f64>() / unit.len() as f64
    }

    /// Deviations of the units' means by a one-way analysis of variance: what units have in common, and the rest over
    /// their sizes. Equal where all rows of a unit share their label.
    fn deviations(&self, rows: f64) -> Vec<f64> {
        let count = self.units.len() as f64;
        let (mut between, mut within, mut squares) = (0.0, 0.0, 0.0);
        for unit in &self.units {
            let (size, mean) = (unit.len() as f64, self.of(unit));
            squares += size * size;
            between += size * (mean - self.mean).powi(2);
            within += unit.iter().map(|&row| (self.labels[row as usize] - mean).powi(2)).sum::<f64>();
        }
        let rest = within / (rows - count).max(1.0);
        let common = ((between - (count - 1.0) * rest) / (rows - squares / rows).max(1.0)).max(0.0);
        let deviation = |unit: &Vec<u32>| (common + rest / unit.len() as f64).sqrt();
        let found: Vec<f64> = self.units.iter().map(deviation).collect();
        if found.iter().all(|&one| one > 0.0) { found } else { vec![1.0; self.units.len()] }
    }

    /// Labels that have changed places, written over `out`.
    ///
    /// Units of one size change places whole, which is exact. Else their means do, in units of their deviation (exact
    /// where a unit's rows share their label), and what is left of a unit keeps its rows and takes either sign.
    pub(super) fn exchange(&self, key: Key, out: &mut [f64]) {
        let order = key.shuffled(self.units.len());
        if self.scales.is_empty() {
            for (unit, from) in self.units.iter().zip(order) {
                let pairs = unit.iter().zip(&self.units[from]);
                pairs.for_each(|(&to, &from)| out[to as usize] = self.labels[from as usize]);
            }
            return;
        }
        let signs = self.signs(key);
        for (place, from) in order.into_iter().enumerate() {
            let unit = &self.units[place];
            let own = self.of(unit);
            let mean = self.mean + self.scales[place] * self.standardised[from];
            for &row in unit {
                out[row as usize] = mean + signs[place] * (self.labels[row as usize] - own);
            }
        }
    }

    /// Labels whose distance from the mean takes either sign, a unit at a time, written over `out`.
    ///
    /// Labels stay with their prompts, so it holds where some prompts spread more than others, which exchanging does
    /// not. It leans on the labels being about as often above as below, or on there being many units.
    pub(super) fn flip(&self, key: Key, out: &mut [f64]) {
        for (unit, sign) in self.units.iter().zip(self.signs(key)) {
            for &row in unit {
                out[row as usize] = self.mean + sign * (self.labels[row as usize] - self.mean);
            }
        }
    }

    /// A sign for each unit.
    fn signs(&self, key: Key) -> Vec<f64> {
        let mut drawn = vec![0.0; self.units.len()];
        key.part(u64::MAX).uniform(&mut drawn);
        drawn.into_iter().map(|one| f64::from(one).signum()).collect()
    }
}
