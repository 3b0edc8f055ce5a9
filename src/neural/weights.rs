//! Weights of a checkpoint folder, mapped into memory: one `model.safetensors`, or several with an index.
//!
//! Nothing is read before it is used. What has been packed is given back with [`Mapped::release`], and an embedding
//! table ([`Table`]) is never read as a whole: only the rows that occur are, and past the map.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;

use super::linear::Stored;
use crate::data::tensors::{self, Dim, Tensors, WEIGHTS, check_shape, cut, inventory, place, show_dims};
use crate::error::{Error, Kind, Result};

/// The table of contents of a checkpoint in several files.
pub const INDEX: &str = "model.safetensors.index.json";

/// Longest index that is read.
const LONGEST_INDEX: u64 = 16 << 20;

/// Most files an index may name; the largest published models have a few hundred.
const MOST_FILES: usize = 1024;

/// The tensors of a checkpoint, in the files' maps.
#[derive(Debug)]
pub struct Mapped {
    source: String,
    maps: Vec<Shard>,
    entries: BTreeMap<String, Entry>,
}

/// A file, its map, and where it was found.
#[derive(Debug)]
struct Shard {
    path: PathBuf,
    file: File,
    map: Mmap,
}

#[derive(Debug)]
struct Entry {
    map: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    range: Range<usize>,
}

impl Mapped {
    /// Maps a safetensors file, or the `model.safetensors` of a folder, or all files of its
    /// `model.safetensors.index.json`.
    ///
    /// # Errors
    /// `Kind::Missing` when there is none, or a file of the index is not there; `Kind::Io` when one cannot be read;
    /// `Kind::Checkpoint` when a header does not fit its file, or the index its files.
    pub fn open(path: &Path) -> Result<Self> {
        let index = path.join(INDEX);
        if path.is_dir() && !path.join(WEIGHTS).is_file() && index.is_file() {
            return Self::sharded(path, &index);
        }
        let file = tensors::find(path)?;
        let mut mapped = Self { source: file.display().to_string(), maps: Vec::new(), entries: BTreeMap::new() };
        let all = mapped.add(&file)?;
        mapped.entries.extend(all);
        Ok(mapped)
    }

    fn sharded(folder: &Path, index: &Path) -> Result<Self> {
        let mut mapped = Self { source: index.display().to_string(), maps: Vec::new(), entries: BTreeMap::new() };
        let files = read_index(index)?;
        for (name, wanted) in files {
            let file = folder.join(&name);
            if !file.is_file() {
                let message = format!("{}: its file {name} is not in the folder", mapped.source);
                return Err(Error::new(Kind::Missing, message));
            }
            let mut found = mapped.add(&file)?;
            for tensor in wanted {
                let Some(entry) = found.remove(&tensor) else {
                    return Err(mapped.wrong(format!("it says that {name} holds `{}`; it does not", cut(&tensor))));
                };
                mapped.entries.insert(tensor, entry);
            }
        }
        Ok(mapped)
    }

    fn add(&mut self, path: &Path) -> Result<BTreeMap<String, Entry>> {
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        // SAFETY: the map is read only; that nobody cuts the file meanwhile is what every reader of checkpoints asks.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| unreadable(path, &e))?;
        let parsed = Tensors::parse(&map, &path.display().to_string())?;
        let start = map.as_ptr() as usize;
        let number = self.maps.len();
        let entry = |view: &TensorView| {
            let at = view.data().as_ptr() as usize - start;
            Entry { map: number, dtype: view.dtype(), shape: view.shape().to_vec(), range: at..at + view.data().len() }
        };
        let entries = parsed.views().iter().map(|(name, view)| (name.clone(), entry(view))).collect();
        self.maps.push(Shard { path: path.to_owned(), file, map });
        Ok(entries)
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether a tensor of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// An error about this checkpoint.
    pub fn wrong(&self, what: impl std::fmt::Display) -> Error {
        Error::new(Kind::Checkpoint, format!("{}: {what}", self.source))
    }

    /// A tensor of the given shape and of a floating type, where it lies.
    pub fn tensor(&self, name: &str, expected: &[Dim]) -> Result<View<'_>> {
        let (name, entry) = self.entries.get_key_value(name).ok_or_else(|| {
            let shape = show_dims(expected);
            let found = inventory(self.entries.len(), self.entries.iter().map(|(n, e)| (n.as_str(), e.shape.clone())));
            self.wrong(format!("tensor `{name}` of shape {shape} is missing; found {found}"))
        })?;
        check_shape(name, &entry.shape, expected).map_err(|message| self.wrong(message))?;
        if !matches!(entry.dtype, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16) {
            let kind = entry.dtype;
            return Err(self.wrong(format!("tensor `{name}` holds {kind:?} numbers; expected F32, F64, F16 or BF16")));
        }
        Ok(View { mapped: self, name, entry })
    }

    /// A vector of `length` numbers, widened to f32 and checked.
    pub fn vector(&self, name: &str, dim: &str, length: usize) -> Result<Vec<f32>> {
        self.tensor(name, &[(dim, Some(length))])?.to_f32()
    }

    /// Gives the pages of a tensor back to the system: they are read again from the file if anybody asks.
    pub fn release(&self, view: &View) {
        release(&self.maps[view.entry.map].map, &view.entry.range);
    }

    /// Fails if there are tensors besides those that are used and those that have no part in `network`.
    ///
    /// # Errors
    /// `Kind::Checkpoint` that names the first and how many more there are.
    pub fn nothing_but(
        &self,
        used: &HashSet<String>,
        no_part: impl Fn(&str) -> bool,
        network: impl std::fmt::Display,
    ) -> Result<()> {
        let extra: Vec<&str> = self.names().filter(|name| !used.contains(*name) && !no_part(name)).collect();
        let Some(first) = extra.first() else { return Ok(()) };
        let more = if extra.len() > 1 { format!(" and {} more", extra.len() - 1) } else { String::new() };
        Err(self.wrong(format!("unexpected tensor `{}`{more}: not part of {network}", cut(first))))
    }
}

#[cfg(unix)]
fn release(map: &Mmap, range: &Range<usize>) {
    // SAFETY: the map is shared and never written, so a dropped page comes back from the file with the same bytes.
    let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
}

#[cfg(not(unix))]
fn release(_: &Mmap, _: &Range<usize>) {}

/// The files of an index, each with its tensors.
fn read_index(path: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let wrong = |what: String| Error::new(Kind::Checkpoint, format!("{}: {what}", path.display()));
    let unreadable = |e: std::io::Error| Error::new(Kind::Io, format!("cannot read {}: {e}", path.display()));
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > LONGEST_INDEX {
        return Err(wrong(format!("it has {length} bytes; at most {LONGEST_INDEX} are read")));
    }
    let text = fs::read(path).map_err(unreadable)?;
    let index: Index = serde_json::from_slice(&text).map_err(|e| wrong(format!("expected a `weight_map`: {e}")))?;
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tensor, file) in index.weight_map {
        let plain = Path::new(&file).file_name().is_some_and(|name| name == file.as_str());
        if !plain {
            let file = cut(&file);
            return Err(wrong(format!("it names the file {file:?}; expected names of files in its own folder")));
        }
        files.entry(file).or_default().push(tensor);
    }
    if files.len() > MOST_FILES {
        return Err(wrong(format!("it names {} files; at most {MOST_FILES} are read", files.len())));
    }
    Ok(files)
}

/// A tensor in the map of its file; shape and type are checked, its numbers are not yet.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    mapped: &'a Mapped,
    name: &'a str,
    entry: &'a Entry,
}

impl<'a> View<'a> {
    /// Length of each dimension.
    pub fn shape(&self) -> &'a [usize] {
        &self.entry.shape
    }

    /// The numbers as they lie in the file, at any alignment.
    pub fn bytes(&self) -> &'a [u8] {
        &self.mapped.maps[self.entry.map].map[self.entry.range.clone()]
    }

    /// The numbers for a linear layer: F32 and BF16 stay in the map, F16 and F64 are widened or rounded to f32.
    ///
    /// # Errors
    /// `Kind::Checkpoint` when one is infinite or not a number; the message says where.
    pub fn weights(&self) -> Result<Weights<'a>> {
        self.will_read();
        match self.entry.dtype {
            Dtype::BF16 => {
                let infinite = |bytes: &[u8; 2]| u16::from_le_bytes(*bytes) & 0x7F80 == 0x7F80;
                self.check(self.bytes().as_chunks::<2>().0, infinite)?;
                Ok(Weights(Numbers::Bf16(self.bytes())))
            }
            Dtype::F32 => {
                let infinite = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes) & 0x7F80_0000 == 0x7F80_0000;
                self.check(self.bytes().as_chunks::<4>().0, infinite)?;
                Ok(Weights(Numbers::F32(Cow::Borrowed(self.bytes()))))
            }
            _ => {
                let bytes = self.to_f32()?.into_iter().flat_map(f32::to_le_bytes).collect();
                Ok(Weights(Numbers::F32(Cow::Owned(bytes))))
            }
        }
    }

    /// Brings the pages in with one call, which costs less than a fault for every few of them.
    fn will_read(&self) {
        #[cfg(target_os = "linux")]
        {
            let (map, range) = (&self.mapped.maps[self.entry.map].map, &self.entry.range);
            // Kernels before 5.14 refuse, and the faults come one by one.
            let _ = map.advise_range(memmap2::Advice::PopulateRead, range.start, range.len());
        }
    }

    /// The numbers widened to f32, all finite.
    ///
    /// # Errors
    /// As [`View::weights`].
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let mut values = vec![0.0; self.entry.shape.iter().product()];
        widen(self.entry.dtype, self.bytes(), &mut values);
        self.check(&values, |value: &f32| !value.is_finite())?;
        Ok(values)
    }

    /// Fails at the first number that is infinite or none.
    fn check<T>(&self, numbers: &[T], infinite: impl Fn(&T) -> bool) -> Result<()> {
        // In pieces, so that the search within one is not cut short and runs on vectors.
        for (piece, part) in numbers.chunks(4096).enumerate() {
            if part.iter().fold(false, |found, number| found | infinite(number)) {
                let index = piece * 4096 + part.iter().position(&infinite).unwrap_or(0);
                let (name, place) = (self.name, place(index, &self.entry.shape));
                let what = format!("tensor `{name}` holds a number that is infinite or none (NaN) at {place}");
                return Err(self.mapped.wrong(what));
            }
        }
        Ok(())
    }

    /// The tensor as a table whose rows are read when they are needed; keeps the file open.
    ///
    /// # Errors
    /// `Kind::Checkpoint` when the tensor is not a matrix, `Kind::Io` when the system lends no second handle of its file.
    pub fn table(&self) -> Result<Table> {
        let &[rows, width] = self.shape() else {
            return Err(self.mapped.wrong(format!(
                "tensor `{}` has shape {:?}, expected a matrix",
                self.name,
                self.shape()
            )));
        };
        // The file that was mapped and checked, not the one that has its name by now.
        let Shard { path, file, .. } = &self.mapped.maps[self.entry.map];
        let file = file.try_clone().map_err(|e| unreadable(path, &e))?;
        Ok(Table {
            path: path.clone(),
            name: self.name.to_owned(),
            file: Arc::new(file),
            start: self.entry.range.start,
            dtype: self.entry.dtype,
            rows,
            width,
        })
    }
}

/// Checked numbers for a linear layer.
#[derive(Debug)]
pub struct Weights<'a>(Numbers<'a>);

#[derive(Debug)]
enum Numbers<'a> {
    F32(Cow<'a, [u8]>),
    Bf16(&'a [u8]),
}

impl Weights<'_> {
    /// As `linear` takes them.
    pub fn stored(&self) -> Stored<'_> {
        match &self.0 {
            Numbers::F32(bytes) => Stored::F32(bytes),
            Numbers::Bf16(bytes) => Stored::Bf16(bytes),
        }
    }
}

/// A table of embeddings that stays in its file.
///
/// Its rows are read, not mapped: where a file lies in huge pages, a row that is touched in a map makes two megabytes
/// resident, and five hundred tokens the whole table. A read costs a microsecond.
#[derive(Debug, Clone)]
pub struct Table {
    path: PathBuf,
    name: String,
    file: Arc<File>,
    start: usize,
    dtype: Dtype,
    rows: usize,
    width: usize,
}

impl Table {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Writes row `row`, widened to f32, into `out` (of [`Table::width`] numbers).
    ///
    /// # Errors
    /// `Kind::Value` when there is no such row; `Kind::Checkpoint` when a number of it is infinite or NaN: a table is
    /// not read as a whole, so this is found when the row is met. `Kind::Io` when the file cannot be read any more.
    pub fn read(&self, row: usize, out: &mut [f32]) -> Result<()> {
        if row >= self.rows || out.len() != self.width {
            let (name, rows, width) = (&self.name, self.rows, self.width);
            return Err(Error::value(format!(
                "table `{name}` has {rows} rows of {width} numbers, none of number {row}"
            )));
        }
        let bytes = self.width * size_of_dtype(self.dtype);
        let mut stored = vec![0; bytes];
        read_at(&self.file, &mut stored, (self.start + row * bytes) as u64).map_err(|e| unreadable(&self.path, &e))?;
        widen(self.dtype, &stored, out);
        if out.iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        let (path, name) = (self.path.display(), &self.name);
        Err(Error::new(
            Kind::Checkpoint,
            format!("{path}: tensor `{name}` holds an infinite number or NaN in row {row}"),
        ))
    }
}

fn unreadable(path: &Path, e: &io::Error) -> Error {
    Error::new(Kind::Io, format!("cannot read {}: {e}", path.display()))
}

/// Fills `bytes` from a place of a file; threads do not disturb each other.
#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

/// Fills `bytes` from a place of a file; threads do not disturb each other.
#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        at += read as u64;
    }
    Ok(())
}

/// Bytes of a number of the four floating types.
fn size_of_dtype(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F64 => 8,
        Dtype::F32 => 4,
        _ => 2,
    }
}

fn widen(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    fn each<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
        for (out, &bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
            *out = read(bytes);
        }
    }
    match dtype {
        Dtype::F64 => each(bytes, out, |b| f64::from_le_bytes(b) as f32),
        Dtype::F32 => each(bytes, out, f32::from_le_bytes),
        Dtype::F16 => each(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
        _ => each(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
    }
}
