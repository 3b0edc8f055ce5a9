//! The trained half of the guess: one weight a task for each cue, read in place from `data/local/tasks.bin`.
//!
//! Layout, little-endian: magic, then 32-bit numbers: rows, numbers beside the words, step, temperature, threshold;
//! 16 biases; for each number beside the words 16 weights; the rows' keys, rising; for each row 16 signed bytes, in
//! units of the step. The sixteenth column is for prompts of no known task. `scripts/train_tasks.py` writes it.

use crate::error::{Error, Kind, Result};

use super::cues::DENSE;

/// Tasks, and one column for none of them.
pub(super) const CLASSES: usize = super::TASKS.len() + 1;

const MAGIC: &[u8; 8] = b"FRTASKS\x02";
/// A sound file has no weight near it.
const LARGEST: f32 = 1e4;
/// Sums of cues are divided by the root of their number, or of this one for a shorter text.
const FEWEST: usize = 8;

/// Weights, as they lie in the file.
#[derive(Debug)]
pub(super) struct Head {
    bias: [f32; CLASSES],
    beside: Vec<[f32; CLASSES]>,
    keys: Vec<u32>,
    rows: &'static [[u8; CLASSES]],
    /// Where a key's row is, by the key's lowest bits: row + 1, or 0.
    places: Vec<u16>,
    step: f32,
    temperature: f32,
    /// What the best task's probability must reach.
    pub(super) threshold: f64,
}

/// Sum of the rows of a text's cues.
#[derive(Debug, Default)]
pub(super) struct Sum {
    units: [i32; CLASSES],
    cues: usize,
}

impl Head {
    pub(super) fn from_bytes(file: &'static [u8]) -> Result<Self> {
        let rest = file.strip_prefix(MAGIC).ok_or_else(|| damaged("it does not begin with the magic of version 2"))?;
        let (words, tail) = rest.as_chunks::<4>();
        let number = |at: usize| words.get(at).map(|&bytes| f32::from_le_bytes(bytes));
        let count = |at: usize| words.get(at).map_or(usize::MAX, |&bytes| u32::from_le_bytes(bytes) as usize);
        let (rows, beside) = (count(0), count(1));
        let header = 5 + CLASSES * (1 + DENSE);
        let want = rows.checked_mul(4 + CLASSES).and_then(|bytes| bytes.checked_add(4 * header));
        if beside != DENSE || rows >= usize::from(u16::MAX) || want != Some(rest.len()) || !tail.is_empty() {
            return Err(damaged(format!("expected {DENSE} numbers beside the words and no bytes to spare")));
        }
        let [Some(step), Some(temperature), Some(threshold)] = [2, 3, 4].map(number) else {
            return Err(damaged("it ends inside its header"));
        };
        let mut columns = words[5..header].iter().map(|&bytes| f32::from_le_bytes(bytes));
        let mut column = || std::array::from_fn(|_| columns.next().unwrap_or(f32::NAN));
        let bias: [f32; CLASSES] = column();
        let beside: Vec<[f32; CLASSES]> = (0..DENSE).map(|_| column()).collect();
        let sound = |x: &f32| x.abs() <= LARGEST;
        if !(bias.iter().chain(beside.iter().flatten()).chain([&step]).all(sound)
            && temperature > 0.0
            && temperature <= LARGEST
            && (0.0..=1.0).contains(&threshold))
        {
            return Err(damaged("a number is out of range"));
        }
        let keys: Vec<u32> = words[header..header + rows].iter().map(|&bytes| u32::from_le_bytes(bytes)).collect();
        if !keys.is_sorted_by(|a, b| a < b) {
            return Err(damaged("the keys do not rise"));
        }
        let (rows, _) = rest[4 * (header + keys.len())..].as_chunks::<CLASSES>();
        let mut places = vec![0; (2 * keys.len()).next_power_of_two()];
        for (row, &key) in (1..).zip(&keys) {
            let mut at = key as usize & (places.len() - 1);
            while places[at] != 0 {
                at = (at + 1) & (places.len() - 1);
            }
            places[at] = row;
        }
        Ok(Self { bias, beside, keys, rows, places, step, temperature, threshold: f64::from(threshold) })
    }

    /// Adds a cue of the instruction, known or not.
    #[inline]
    pub(super) fn add(&self, key: u32, sum: &mut Sum) {
        sum.cues += 1;
        self.add_beside(key, sum);
    }

    /// Adds a cue that takes no weight from the others.
    #[inline]
    pub(super) fn add_beside(&self, key: u32, sum: &mut Sum) {
        let last = self.places.len() - 1;
        let mut at = key as usize & last;
        // At most half of the places are taken, so an empty one comes.
        while let Some(row) = usize::from(self.places[at]).checked_sub(1) {
            if self.keys[row] == key {
                for (unit, &weight) in sum.units.iter_mut().zip(&self.rows[row]) {
                    *unit += i32::from(weight as i8);
                }
                return;
            }
            at = (at + 1) & last;
        }
    }

    /// The probability of each task, and of none.
    pub(super) fn probabilities(&self, sum: &Sum, beside: &[f32; DENSE]) -> [f64; CLASSES] {
        let unit = f64::from(self.step) / (sum.cues.max(FEWEST) as f64).sqrt();
        let mut sums = self.bias;
        for (weights, &number) in self.beside.iter().zip(beside) {
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                *sum += weight * number;
            }
        }
        let logits: [f64; CLASSES] = std::array::from_fn(|i| f64::from(sums[i]) + unit * f64::from(sum.units[i]));
        let temperature = f64::from(self.temperature);
        let largest = logits.iter().copied().fold(f64::MIN, f64::max);
        let powers = logits.map(|logit| ((logit - largest) / temperature).exp());
        let total: f64 = powers.iter().sum();
        powers.map(|power| power / total)
    }
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Checkpoint, format!("the head of the task guess is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    static FILE: &[u8] = include_bytes!("../../../data/local/tasks.bin");

    /// A file that lives as long as the one in the binary.
    fn kept(bytes: Vec<u8>) -> &'static [u8] {
        // In a list, so that nothing that looks for leaks takes it for one.
        static KEPT: Mutex<Vec<&[u8]>> = Mutex::new(Vec::new());
        let bytes: &'static [u8] = Box::leak(bytes.into_boxed_slice());
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        bytes
    }

    #[test]
    fn a_damaged_file_is_refused() {
        assert!(Head::from_bytes(FILE).is_ok());
        for length in [0, 4, 8, 20, 28, 100, FILE.len() - 1] {
            assert!(Head::from_bytes(&FILE[..length]).is_err(), "{length} bytes");
        }
        for at in [0, 8, 12, 16, 20, 24, 28] {
            let mut bytes = FILE.to_vec();
            bytes[at..at + 4].fill(0xFF);
            assert!(Head::from_bytes(kept(bytes)).is_err(), "at {at}");
        }
        let keys = 8 + 4 * (5 + CLASSES * (1 + DENSE));
        let mut bytes = FILE.to_vec();
        bytes.copy_within(keys + 4..keys + 8, keys);
        assert!(Head::from_bytes(kept(bytes)).is_err(), "a key twice");
    }

    #[test]
    fn every_key_is_found_and_no_other() {
        let head = Head::from_bytes(FILE).unwrap_or_else(|error| unreachable!("{error}"));
        for (row, &key) in head.keys.iter().enumerate() {
            let mut sum = Sum::default();
            head.add(key, &mut sum);
            assert_eq!(sum.units, head.rows[row].map(|weight| i32::from(weight as i8)));
        }
        let strange = (0..u32::MAX).step_by(7_777_777).filter(|key| head.keys.binary_search(key).is_err());
        for key in strange {
            let mut sum = Sum::default();
            head.add(key, &mut sum);
            assert_eq!((sum.units, sum.cues), ([0; CLASSES], 1));
        }
    }
}
