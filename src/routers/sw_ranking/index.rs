//! A prepared ranking in one file, of which the embeddings are mapped into memory instead of read.
//!
//! ```text
//! 8 bytes    mark
//! 8 bytes    length of the header
//! 8 bytes    xxh3 of the header
//! header     JSON, see `Header`
//! (zeros up to a multiple of 4096)
//! embeddings f32 [rows, cols]
//! tail       norms f64 [rows], ratings f64 [labels], tiers u32 [labels], a, b, rows u32 [rows], winners u8 [rows]
//! ```
//!
//! All numbers are little-endian. The header holds the hash of the tail. The embeddings are too many to be hashed at
//! each start: the norms of some of them are compared with those stored.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Battles, SwRanking};
use crate::data::matrix::{Matrix, Numbers, square_sum};
use crate::data::partial::Partial;
use crate::error::{Error, Kind, Result};
use crate::math::newton::Winner;

const MARK: &[u8; 8] = b"FERRSWRK";
const VERSION: u32 = 1;
const PAGE: u64 = 4096;

/// Longest header that is read: names of models and sources.
const LONGEST_HEADER: u64 = 64 << 20;

/// Rows whose norms are compared when an index is opened.
const SAMPLE: usize = 64;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    version: u32,
    rows: u64,
    cols: u64,
    total: u64,
    num_tiers: u64,
    labels: Vec<String>,
    /// What the index was made of, as the caller describes it.
    sources: String,
    /// xxh3 of the tail.
    tail: u64,
}

/// xxh3 of the whole content of a file, by which an index knows what it was made of.
///
/// # Errors
/// `Kind::Missing`, `Kind::Io` where it cannot be read.
pub fn hash_of_file(path: &Path) -> Result<u128> {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => Error::new(Kind::Missing, format!("{}: no such file", path.display())),
        _ => Error::new(Kind::Io, format!("{}: cannot be read: {e}", path.display())),
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = vec![0; 1 << 20];
    let mut hash = Xxh3::new();
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.digest128()),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

impl Header {
    /// Bytes after the embeddings.
    fn tail_bytes(&self) -> Option<u64> {
        self.rows.checked_mul(8 + 3 * 4 + 1)?.checked_add((self.labels.len() as u64).checked_mul(8 + 4)?)
    }

    fn numbers(&self) -> Option<u64> {
        self.rows.checked_mul(self.cols)?.checked_mul(4)
    }
}

impl SwRanking {
    /// Writes the index, completely or not at all. `sources` is handed out again by [`SwRanking::open`].
    ///
    /// # Errors
    /// `Kind::Io` when it cannot be written.
    pub fn save(&self, path: &Path, sources: &str) -> Result<()> {
        let (partial, file) = Partial::create(path)?;
        self.write(&file, sources).map_err(|error| partial.failed(&error))?;
        partial.finish(&file)
    }

    /// A hash of battles, ratings, tiers and the norms of the embeddings.
    pub fn digest(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(&self.tail());
        for label in &self.battles.labels {
            hash.update(&(label.len() as u64).to_le_bytes());
            hash.update(label.as_bytes());
        }
        hash.digest()
    }

    fn write(&self, file: &File, sources: &str) -> std::io::Result<()> {
        let tail = self.tail();
        let header = Header {
            version: VERSION,
            rows: self.len() as u64,
            cols: self.cols as u64,
            total: self.battles.total as u64,
            num_tiers: self.num_tiers as u64,
            labels: self.battles.labels.clone(),
            sources: sources.to_owned(),
            tail: xxh3_64(&tail),
        };
        let header = serde_json::to_vec(&header)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(MARK)?;
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&xxh3_64(&header).to_le_bytes())?;
        out.write_all(&header)?;
        let at = 24 + header.len() as u64;
        out.write_all(&vec![0; (at.next_multiple_of(PAGE) - at) as usize])?;
        let mut bytes = Vec::with_capacity(1 << 20);
        for part in self.numbers.values().chunks(1 << 18) {
            bytes.clear();
            bytes.extend(part.iter().flat_map(|x| x.to_le_bytes()));
            out.write_all(&bytes)?;
        }
        out.write_all(&tail)?;
        out.flush()
    }

    fn tail(&self) -> Vec<u8> {
        let Battles { a, b, rows, winners, .. } = &self.battles;
        let norms = self.norms.iter().chain(&self.ratings).flat_map(|x| x.to_le_bytes());
        let numbers = self.tiers.iter().chain(a).chain(b).chain(rows).flat_map(|x| x.to_le_bytes());
        norms.chain(numbers).chain(winners.iter().map(|winner| winner.code())).collect()
    }

    /// Opens an index and maps its embeddings. Returns it with the `sources` that it was saved with.
    ///
    /// A file that is changed in place while it is open gives arbitrary scores, and one that is cut ends the process;
    /// replace it instead, as [`SwRanking::save`] does.
    ///
    /// # Errors
    /// `Kind::Missing`, `Kind::Io`; `Kind::Checkpoint` when it is not an index, of another version, or damaged.
    pub fn open(path: &Path) -> Result<(Self, String)> {
        let shown = path.display();
        let failed = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => Error::new(Kind::Missing, format!("{shown}: no such file")),
            _ => Error::new(Kind::Io, format!("{shown}: cannot be read: {e}")),
        };
        let wrong = |what: &str| Error::new(Kind::Checkpoint, format!("{shown} is not an index of sw_ranking: {what}"));
        let mut file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut start = [0; 24];
        file.read_exact(&mut start).map_err(|_| wrong("it is too short"))?;
        let word = |at: usize| start[at..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if &start[..8] != MARK {
            return Err(wrong("it does not begin with its mark"));
        }
        let length = word(8);
        if length > LONGEST_HEADER || length > size {
            return Err(wrong("its header is longer than it can be"));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(|_| wrong("it ends within its header"))?;
        if xxh3_64(&header) != word(16) {
            return Err(wrong("its header is damaged"));
        }
        let version = serde_json::from_slice::<serde_json::Value>(&header).ok();
        let version = version.and_then(|header| header.get("version")?.as_u64());
        if version != Some(u64::from(VERSION)) {
            let version = version.map_or_else(|| "unknown".to_owned(), |version| version.to_string());
            return Err(wrong(&format!("its version is {version}, this release reads {VERSION}; save it anew")));
        }
        let header: Header = serde_json::from_slice(&header).map_err(|error| wrong(&error.to_string()))?;
        let numbers_at = (24 + length).next_multiple_of(PAGE);
        let tail_bytes = header.tail_bytes();
        let ends = header.numbers().and_then(|numbers| numbers_at.checked_add(numbers)?.checked_add(tail_bytes?));
        let (Some(tail_bytes), true) = (tail_bytes, ends == Some(size)) else {
            return Err(wrong(&format!("it has {size} bytes, its header promises {}", ends.unwrap_or(u64::MAX))));
        };
        file.seek(SeekFrom::Start(size - tail_bytes)).map_err(failed)?;
        let mut tail = vec![0; tail_bytes as usize];
        file.read_exact(&mut tail).map_err(failed)?;
        if xxh3_64(&tail) != header.tail {
            return Err(wrong("its battles are damaged"));
        }
        let (rows, cols) = (header.rows as usize, header.cols as usize);
        let numbers = Numbers::of_file(&file, numbers_at as usize, rows * cols)
            .ok_or_else(|| wrong("it cannot be mapped into memory"))?;
        numbers.will_need();
        Self::of_parts(header, &tail, numbers).map_err(|error| wrong(error.message()))
    }

    fn of_parts(header: Header, tail: &[u8], numbers: Numbers) -> Result<(Self, String)> {
        let (rows, cols, labels) = (header.rows as usize, header.cols as usize, header.labels.len());
        let mut cursor = tail;
        let mut take = |bytes: usize| {
            let (part, rest) = cursor.split_at_checked(bytes).unwrap_or((cursor, &[]));
            cursor = rest;
            part
        };
        let floats = |bytes: &[u8]| bytes.as_chunks::<8>().0.iter().map(|&b| f64::from_le_bytes(b)).collect::<Vec<_>>();
        let words = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|&b| u32::from_le_bytes(b)).collect::<Vec<_>>();
        let (norms, ratings) = (floats(take(8 * rows)), floats(take(8 * labels)));
        let tiers = words(take(4 * labels));
        let (a, b, places) = (words(take(4 * rows)), words(take(4 * rows)), words(take(4 * rows)));
        let winners = take(rows).iter().map(|&code| Winner::from_code(code)).collect::<Option<Vec<_>>>();
        let wrong = |what: &str| Error::new(Kind::Checkpoint, what);
        let winners = winners.ok_or_else(|| wrong("a battle has no winner"))?;
        if rows == 0 || a.iter().chain(&b).any(|&label| label as usize >= labels) {
            return Err(wrong("a battle names a model that is not listed"));
        }
        if ratings.iter().any(|rating| !rating.is_finite()) {
            return Err(wrong("a rating is not a number"));
        }
        for row in (0..rows).step_by(rows.div_ceil(SAMPLE)) {
            let norm = square_sum(&numbers.values()[row * cols..(row + 1) * cols]).sqrt();
            if norm.to_bits() != norms[row].to_bits() || !norm.is_finite() {
                return Err(wrong(&format!("embedding {} is not the one that was saved", row + 1)));
            }
        }
        let total = header.total as usize;
        let battles = Battles { labels: header.labels, a, b, winners, rows: places, total };
        let matrix = Matrix { numbers, norms, cols };
        let ranking = Self::prepare(battles, ratings, tiers, header.num_tiers as usize, matrix)?;
        Ok((ranking, header.sources))
    }
}
