//! The pieces of a `WordPiece` vocabulary, looked up in the file's own bytes: no map is built at start.
//!
//! Records lie in buckets by hash, one after the other, so a look-up reads two places: where the bucket begins, and
//! the two or so records in it. The layout is described in `scripts/build_table.py`, which writes it.

use crate::error::{Error, Kind, Result};

/// Set in a record's length byte for a piece that continues a word (written with `##` in the vocabulary).
const CONTINUATION: u8 = 128;
/// Length and id, before a record's text.
const RECORD_HEAD: usize = 3;
const HASH_START: u32 = 0x811C_9DC5;
const HASH_CONTINUATION: u32 = HASH_START ^ 0x5BD1_E995;

/// The running hash of a piece: FNV-1a, one byte at a time, so that every prefix of a word has its hash on the way.
#[derive(Clone, Copy)]
pub(super) struct PieceHash(u32);

impl PieceHash {
    /// Of a piece that begins a word.
    pub(super) const WORD: Self = Self(HASH_START);
    /// Of a piece that continues one.
    pub(super) const CONTINUATION: Self = Self(HASH_CONTINUATION);

    #[inline]
    pub(super) fn push(self, byte: u8) -> Self {
        Self((self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
}

/// A vocabulary inside a byte slice.
#[derive(Debug, Clone, Copy)]
pub struct Vocabulary<'a> {
    starts: &'a [u8],
    records: &'a [u8],
    shift: u32,
    size: usize,
    longest: usize,
}

/// One piece: its id, whether it continues a word, and its text without `##`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Row of the piece.
    pub id: u16,
    /// `true` for a `##` piece.
    pub continuation: bool,
    /// UTF-8 text.
    pub text: &'a str,
}

impl<'a> Vocabulary<'a> {
    /// Reads the two sections of the file and checks that every id below `size` occurs exactly once, in the right
    /// bucket's range, with valid UTF-8. `bits`: the table has `2^bits` buckets.
    pub(super) fn new(starts: &'a [u8], records: &'a [u8], bits: u32, size: usize) -> Result<Self> {
        let mut vocabulary = Self { starts, records, shift: 32 - bits, size, longest: 0 };
        let buckets = 1usize << bits;
        if vocabulary.start(0) != 0 || vocabulary.start(buckets) != records.len() {
            return Err(damaged("the buckets do not cover the records"));
        }
        let mut seen = vec![false; size];
        for bucket in 0..buckets {
            let Some(mut rest) = records.get(vocabulary.start(bucket)..vocabulary.start(bucket + 1)) else {
                return Err(damaged(format!("bucket {bucket} lies outside the records")));
            };
            while !rest.is_empty() {
                let (record, after) =
                    split_record(rest).ok_or_else(|| damaged(format!("bucket {bucket} holds a cut record")))?;
                match seen.get_mut(usize::from(record.id)) {
                    Some(seen) if !*seen => *seen = true,
                    _ => return Err(damaged(format!("id {} is out of range or occurs twice", record.id))),
                }
                if std::str::from_utf8(record.text).is_err() {
                    return Err(damaged(format!("piece {} is not UTF-8", record.id)));
                }
                vocabulary.longest = vocabulary.longest.max(record.text.len());
                rest = after;
            }
        }
        // `size` distinct ids below `size`, or some are missing.
        match seen.iter().position(|seen| !seen) {
            Some(id) => Err(damaged(format!("id {id} has no piece"))),
            None => Ok(vocabulary),
        }
    }

    /// Number of pieces; ids are `0..len`.
    pub fn len(&self) -> usize {
        self.size
    }

    /// Whether there are no pieces at all.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Bytes of the longest piece, without `##`.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Id of a piece as the vocabulary writes it, with `##` before one that continues a word.
    pub fn id(&self, piece: &str) -> Option<u16> {
        match piece.strip_prefix("##") {
            Some(text) if !text.is_empty() => self.find_text(text.as_bytes(), true),
            _ => self.find_text(piece.as_bytes(), false),
        }
    }

    /// All pieces, in no particular order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'a>> + use<'a> {
        self.records().filter_map(|Record { id, continuation, text }| {
            Some(Piece { id, continuation, text: std::str::from_utf8(text).ok()? })
        })
    }

    /// Where the record of each id lies, for [`piece_at`](Self::piece_at).
    pub fn places(&self) -> Vec<u32> {
        let mut places = vec![0; self.size];
        let mut at = 0;
        for Record { id, text, .. } in self.records() {
            if let Some(place) = places.get_mut(usize::from(id)) {
                *place = at;
            }
            // The file's own starts are such numbers too.
            at += (RECORD_HEAD + text.len()) as u32;
        }
        places
    }

    /// The piece whose record lies at a place.
    pub fn piece_at(&self, place: u32) -> Option<Piece<'a>> {
        let (Record { id, continuation, text }, _) = split_record(self.records.get(place as usize..)?)?;
        Some(Piece { id, continuation, text: std::str::from_utf8(text).ok()? })
    }

    /// Ids of the `##` pieces, in no particular order.
    pub(super) fn continuations(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.records().filter(|record| record.continuation).map(|record| record.id)
    }

    fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let mut rest = self.records;
        std::iter::from_fn(move || {
            let (record, after) = split_record(rest)?;
            rest = after;
            Some(record)
        })
    }

    fn find_text(&self, text: &[u8], continuation: bool) -> Option<u16> {
        let start = if continuation { PieceHash::CONTINUATION } else { PieceHash::WORD };
        let hash = text.iter().fold(start, |hash, &byte| hash.push(byte));
        self.find(hash, text, continuation)
    }

    /// Id of the piece `text`, whose hash is known.
    #[inline]
    pub(super) fn find(&self, hash: PieceHash, text: &[u8], continuation: bool) -> Option<u16> {
        if text.len() > self.longest {
            return None;
        }
        let want = text.len() as u8 | if continuation { CONTINUATION } else { 0 };
        let bucket = (hash.0.wrapping_mul(0x9E37_79B1) >> self.shift) as usize;
        let mut rest = self.records.get(self.start(bucket)..self.start(bucket + 1))?;
        while let [tag, low, high, body @ ..] = rest {
            let (piece, after) = body.split_at_checked(usize::from(tag & !CONTINUATION))?;
            if *tag == want && piece == text {
                return Some(u16::from_le_bytes([*low, *high]));
            }
            rest = after;
        }
        None
    }

    /// Where the records of `bucket` begin; past the end for a bucket that is not there.
    #[inline]
    fn start(&self, bucket: usize) -> usize {
        match self.starts.get(4 * bucket..4 * bucket + 4) {
            Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]) as usize,
            _ => usize::MAX,
        }
    }
}

/// A piece as the file holds it.
struct Record<'a> {
    id: u16,
    continuation: bool,
    text: &'a [u8],
}

/// The first record and what follows it.
fn split_record(records: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let [tag, low, high, body @ ..] = records else { return None };
    let (text, after) = body.split_at_checked(usize::from(tag & !CONTINUATION))?;
    Some((Record { id: u16::from_le_bytes([*low, *high]), continuation: tag & CONTINUATION != 0, text }, after))
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Checkpoint, format!("the vocabulary of the embedded table is damaged: {what}"))
}
