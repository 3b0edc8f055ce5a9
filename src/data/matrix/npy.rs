//! numpy's format: a header that is a Python literal, then the numbers.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use half::f16;

use super::{Layout, opened};
use crate::error::{Error, Kind, Result};

/// Longest header that is read; numpy's own are below 200 bytes.
const LONGEST_HEADER: usize = 1 << 16;

/// Numbers in a piece, about.
const PIECE: usize = 1 << 21;

/// Bytes read at a time.
const BUFFER: usize = 1 << 19;

/// A matrix on disk.
pub(super) struct Npy {
    /// Bytes before the first number.
    start: u64,
    size: usize,
    big_endian: bool,
    fortran: bool,
    rows: usize,
    cols: usize,
}

impl Npy {
    pub(super) fn open(mut file: File, bytes: u64) -> Result<Self> {
        let cut = |_| Error::value("is not an .npy file: it ends within its header");
        let mut start = [0; 8];
        file.read_exact(&mut start).map_err(cut)?;
        if start[..6] != *b"\x93NUMPY" {
            return Err(Error::value("is not an .npy file: it does not begin with `\\x93NUMPY`"));
        }
        let (before, length) = match start[6] {
            1 => {
                let mut length = [0; 2];
                file.read_exact(&mut length).map_err(cut)?;
                (10, usize::from(u16::from_le_bytes(length)))
            }
            2 | 3 => {
                let mut length = [0; 4];
                file.read_exact(&mut length).map_err(cut)?;
                (12, u32::from_le_bytes(length) as usize)
            }
            version => return Err(Error::value(format!("is an .npy file of version {version}; 1 to 3 are read"))),
        };
        if length > LONGEST_HEADER {
            return Err(Error::value(format!("its header takes {length} bytes; at most {LONGEST_HEADER} are read")));
        }
        let mut header = vec![0; length];
        file.read_exact(&mut header).map_err(cut)?;
        let header = String::from_utf8_lossy(&header).into_owned();
        let mut found = Self::parse(header.trim())?;
        found.start = before + length as u64;
        let needed = found.rows.checked_mul(found.cols).and_then(|numbers| numbers.checked_mul(found.size));
        let needed = needed.and_then(|needed| (needed as u64).checked_add(found.start));
        if needed.is_none_or(|needed| bytes < needed) {
            let needed = needed.map_or_else(|| "more than any file has".to_owned(), |needed| format!("{needed} bytes"));
            return Err(Error::value(format!(
                "its header promises {} x {} numbers, which take {needed}; it has {bytes} bytes",
                found.rows, found.cols
            )));
        }
        Ok(found)
    }

    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`
    fn parse(header: &str) -> Result<Self> {
        let wrong = || {
            let shown: String = header.chars().take(120).collect();
            Error::value(format!("its header is not one of a matrix: {shown}"))
        };
        let descr = field(header, "descr").and_then(|rest| {
            let quote = rest.chars().next().filter(|&c| c == '\'' || c == '"')?;
            rest[1..].split_once(quote).map(|(descr, _)| descr)
        });
        let descr = descr.ok_or_else(wrong)?;
        let (order, kind) = descr.split_at_checked(1).ok_or_else(wrong)?;
        let size = match kind {
            "f2" => 2,
            "f4" => 4,
            "f8" => 8,
            _ => {
                let shown: String = descr.chars().take(20).collect();
                return Err(Error::value(format!("expected float16, float32 or float64 numbers, found `{shown}`")));
            }
        };
        let big_endian = match order {
            "<" => false,
            ">" => true,
            "=" | "|" => cfg!(target_endian = "big"),
            _ => return Err(wrong()),
        };
        let fortran = match field(header, "fortran_order").ok_or_else(wrong)? {
            rest if rest.starts_with("True") => true,
            rest if rest.starts_with("False") => false,
            _ => return Err(wrong()),
        };
        let shape =
            field(header, "shape").and_then(|rest| rest.strip_prefix('(')).and_then(|rest| rest.split_once(')'));
        let sizes = shape.ok_or_else(wrong)?.0.split(',').map(str::trim).filter(|size| !size.is_empty());
        let sizes = sizes.map(|size| size.trim_end_matches('L').parse::<usize>().ok());
        let sizes = sizes.collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        let &[rows, cols] = sizes.as_slice() else {
            return Err(Error::value(format!("expected a matrix (two dimensions), found the shape {sizes:?}")));
        };
        Ok(Self { start: 0, size, big_endian, fortran, rows, cols })
    }

    /// Numbers from place `from` on, widened or narrowed, to `put`.
    fn numbers(&self, file: &File, from: usize, count: usize, mut put: impl FnMut(&[f32])) -> io::Result<()> {
        let mut bytes = vec![0; BUFFER.min(count * self.size)];
        let mut numbers = Vec::with_capacity(bytes.len() / self.size);
        let mut done = 0;
        while done < count {
            let step = (count - done).min(BUFFER / self.size);
            let part = &mut bytes[..step * self.size];
            read_at(file, part, self.start + ((from + done) * self.size) as u64)?;
            if self.big_endian {
                part.chunks_exact_mut(self.size).for_each(<[u8]>::reverse);
            }
            numbers.clear();
            match self.size {
                2 => numbers.extend(part.as_chunks::<2>().0.iter().map(|&b| f16::from_le_bytes(b).to_f32())),
                4 => numbers.extend(part.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b))),
                _ => numbers.extend(part.as_chunks::<8>().0.iter().map(|&b| f64::from_le_bytes(b) as f32)),
            }
            put(&numbers);
            done += step;
        }
        Ok(())
    }

    fn piece(&self) -> usize {
        (PIECE / self.cols.max(1)).max(1)
    }
}

impl Layout for Npy {
    fn pieces(&self) -> Vec<usize> {
        if self.rows == 0 || self.cols == 0 {
            return vec![self.rows];
        }
        let piece = self.piece();
        (0..self.rows).step_by(piece).map(|first| piece.min(self.rows - first)).collect()
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn read(&self, path: &Path, _piece: usize, first: usize, cols: usize, out: &mut [f32]) -> Result<()> {
        let (file, _) = opened(path)?;
        let unreadable =
            |error: io::Error| Error::new(Kind::Io, format!("{}: cannot be read: {error}", path.display()));
        if !self.fortran {
            let mut rest = out;
            return self
                .numbers(&file, first * cols, rest.len(), |numbers| {
                    let (part, after) = std::mem::take(&mut rest).split_at_mut(numbers.len());
                    part.copy_from_slice(numbers);
                    rest = after;
                })
                .map_err(unreadable);
        }
        let rows = out.len() / cols.max(1);
        for col in 0..cols {
            let mut row = 0;
            self.numbers(&file, col * self.rows + first, rows, |numbers| {
                for &number in numbers {
                    out[row * cols + col] = number;
                    row += 1;
                }
            })
            .map_err(unreadable)?;
        }
        Ok(())
    }
}

/// What follows the colon of a key.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let quoted = |quote: char| header.find(&format!("{quote}{key}{quote}")).map(|at| at + key.len() + 2);
    let after = quoted('\'').or_else(|| quoted('"'))?;
    header[after..].trim_start().strip_prefix(':').map(str::trim_start)
}

/// Fills `buffer` from a place of the file; its cursor, which threads share, is not used.
#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], place: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, place)
}

#[cfg(not(unix))]
fn read_at(file: &File, buffer: &mut [u8], place: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom};
    let mut file = file;
    file.seek(SeekFrom::Start(place))?;
    file.read_exact(buffer)
}
