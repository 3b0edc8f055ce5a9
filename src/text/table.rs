//! The static embedding table: one 8-bit row for each piece of the vocabulary, read in place.
//!
//! The layout is described in `scripts/build_table.py`, which writes the file. Sums are integers and the norm is taken
//! in a fixed order, so a text has the same embedding, bit for bit, on every processor.

use crate::error::{Error, Kind, Result};

use super::vocabulary::Vocabulary;
use super::wordpiece::WordPiece;

/// Length of an embedding.
pub const DIM: usize = 64;
/// At most this many ids are averaged: then a sum of `127 * 4095` each stays within 32 bits.
pub const MAX_IDS: usize = 4096;

const MAGIC: &[u8; 8] = b"FRTABLE\x01";
const HEADER: usize = 32;
const MAX_SCALE: u16 = 4095;

/// Vocabulary and rows inside a byte slice.
#[derive(Debug, Clone)]
pub struct Table<'a> {
    tokenizer: WordPiece<'a>,
    scales: &'a [[u8; 2]],
    rows: &'a [[u8; DIM]],
}

impl<'a> Table<'a> {
    /// Reads a table written by `scripts/build_table.py`.
    ///
    /// # Errors
    /// [`Kind::Checkpoint`] when magic, version, lengths, vocabulary or scales do not fit.
    pub fn from_bytes(file: &'a [u8]) -> Result<Self> {
        let header = file.first_chunk::<HEADER>().ok_or_else(|| damaged("it ends inside its header"))?;
        if header[..8] != MAGIC[..] {
            return Err(damaged("it does not begin with the magic of version 1"));
        }
        let field = |at: usize| {
            let at = 8 + 4 * at;
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize
        };
        let (size, dim, bits, record_bytes, unknown) = (field(0), field(1), field(2), field(3), field(4));
        if dim != DIM || !(1..=20).contains(&bits) || size > 1 << 16 || unknown >= size {
            return Err(damaged(format!(
                "expected {DIM} dimensions, 1 to 20 bucket bits and an unknown id below the vocabulary's size, \
                 found {dim}, {bits}, {unknown} of {size}"
            )));
        }
        let start_bytes = 4 * ((1 << bits) + 1);
        let want = HEADER + start_bytes + record_bytes + size * (2 + DIM);
        if file.len() != want {
            return Err(damaged(format!("expected {want} bytes, found {}", file.len())));
        }
        let (starts, rest) = file[HEADER..].split_at(start_bytes);
        let (records, rest) = rest.split_at(record_bytes);
        let (scales, rows) = rest.split_at(2 * size);
        let (scales, _) = scales.as_chunks::<2>();
        let (rows, _) = rows.as_chunks::<DIM>();
        if let Some(id) = scales.iter().position(|&scale| !(1..=MAX_SCALE).contains(&u16::from_le_bytes(scale))) {
            return Err(damaged(format!("the scale of row {id} is not within 1..={MAX_SCALE}")));
        }
        let vocabulary = Vocabulary::new(starts, records, bits as u32, size)?;
        Ok(Self { tokenizer: WordPiece::new(vocabulary, unknown as u16), scales, rows })
    }

    /// The tokenizer whose ids are this table's rows.
    pub fn tokenizer(&self) -> &WordPiece<'a> {
        &self.tokenizer
    }

    /// Mean of the rows of `ids` (the first [`MAX_IDS`]; ids outside the table count as nothing), scaled to length 1.
    /// All zero when there is nothing to average.
    pub fn embed(&self, ids: &[u16]) -> [f32; DIM] {
        let mut sums = [0i32; DIM];
        self.accumulate(&ids[..ids.len().min(MAX_IDS)], &mut sums);
        let norm = length(&sums);
        if norm == 0.0 { [0.0; DIM] } else { sums.map(|sum| (f64::from(sum) / norm) as f32) }
    }

    /// The row of `id` as it enters the sum, unscaled; zeros outside the table.
    pub fn row(&self, id: u16) -> [f32; DIM] {
        let mut sums = [0i32; DIM];
        self.accumulate(&[id], &mut sums);
        sums.map(|sum| sum as f32)
    }

    #[cfg(target_arch = "x86_64")]
    fn accumulate(&self, ids: &[u16], sums: &mut [i32; DIM]) {
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            unsafe { self.accumulate_avx2(ids, sums) }
        } else {
            self.accumulate_scalar(ids, sums);
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn accumulate(&self, ids: &[u16], sums: &mut [i32; DIM]) {
        self.accumulate_scalar(ids, sums);
    }

    /// The same loop, compiled with wider registers.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn accumulate_avx2(&self, ids: &[u16], sums: &mut [i32; DIM]) {
        self.accumulate_scalar(ids, sums);
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "it must be compiled again inside `accumulate_avx2`")]
    fn accumulate_scalar(&self, ids: &[u16], sums: &mut [i32; DIM]) {
        for &id in ids {
            let (Some(row), Some(&scale)) = (self.rows.get(usize::from(id)), self.scales.get(usize::from(id))) else {
                continue;
            };
            let scale = i32::from(u16::from_le_bytes(scale));
            for (sum, &entry) in sums.iter_mut().zip(row) {
                *sum += i32::from(entry as i8) * scale;
            }
        }
    }
}

/// Euclidean length, added up in one fixed order.
pub(crate) fn length(sums: &[i32; DIM]) -> f64 {
    let mut squares = [0.0; 8];
    for lane in sums.as_chunks::<8>().0 {
        for (square, &sum) in squares.iter_mut().zip(lane) {
            *square += f64::from(sum) * f64::from(sum);
        }
    }
    squares.iter().sum::<f64>().sqrt()
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Checkpoint, format!("the embedded table is damaged: {what}"))
}
