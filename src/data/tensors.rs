//! Checkpoints in the safetensors format, checked before use.
//!
//! Parsing works on bytes and is pure; [`open`] and [`write`] touch the disk. Whatever does not fit is an error of
//! `Kind::Checkpoint` that names the file and the tensor.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use super::partial::Partial;
use crate::error::{Error, Kind, Result};

/// The file a checkpoint folder is expected to hold.
pub const WEIGHTS: &str = "model.safetensors";

/// The file that holds the constructor arguments beside it.
pub const CONFIG: &str = "config.json";

/// What torch writes when it does not write [`WEIGHTS`].
const TORCH_WEIGHTS: &str = "pytorch_model.bin";

/// Longest header that is read: room for tens of thousands of tensors, where a hostile one could ask for 100 MB.
const LONGEST_HEADER: u64 = 8 << 20;

/// The content of a checkpoint file.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    content: Vec<u8>,
}

/// Reads a safetensors file, or the `model.safetensors` of a folder.
///
/// # Errors
/// `Kind::Missing` when there is none; for a lone torch file the message gives the command that converts it.
/// `Kind::Unsupported` for a torch file named directly. `Kind::Io` when it cannot be read.
pub fn open(path: &Path) -> Result<Checkpoint> {
    let path = find(path)?;
    let unreadable = |e: std::io::Error| Error::new(Kind::Io, format!("cannot read {}: {e}", path.display()));
    let content = fs::read(&path).map_err(unreadable)?;
    Ok(Checkpoint { path, content })
}

pub(crate) fn find(path: &Path) -> Result<PathBuf> {
    let is_torch = path.extension().is_some_and(|e| e == "bin" || e == "pt" || e == "pth");
    if is_torch {
        return Err(Error::new(Kind::Unsupported, torch_file(path)));
    }
    if path.is_file() {
        return Ok(path.to_path_buf());
    }
    let inside = path.join(WEIGHTS);
    if inside.is_file() {
        return Ok(inside);
    }
    let shown = path.display();
    let torch = path.join(TORCH_WEIGHTS);
    let message = if torch.is_file() {
        torch_file(&torch)
    } else if path.is_dir() {
        format!("the folder {shown} holds no {WEIGHTS}")
    } else {
        format!("there is no file or folder {shown}")
    };
    Err(Error::new(Kind::Missing, message))
}

fn torch_file(path: &Path) -> String {
    format!(
        "{} is a pickle of torch, which ferroute does not read; this command (it needs torch and safetensors) writes \
         {WEIGHTS} beside it: {}",
        path.display(),
        conversion_command(path)
    )
}

/// The shell command that turns a torch file into a `model.safetensors` beside it.
pub fn conversion_command(torch_file: &Path) -> String {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    format!(
        "python -c \"import sys, torch; from safetensors.torch import save_file; \
         save_file({{k: v.contiguous() for k, v in torch.load(sys.argv[1], map_location='cpu', \
         weights_only=True).items()}}, sys.argv[2])\" {} {}",
        quoted(torch_file),
        quoted(&torch_file.with_file_name(WEIGHTS))
    )
}

impl Checkpoint {
    /// The file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the header.
    pub fn tensors(&self) -> Result<Tensors<'_>> {
        Tensors::parse(&self.content, &self.path.display().to_string())
    }

    /// The text of a file beside the weights, if there is one.
    pub fn beside(&self, name: &str) -> Result<Option<String>> {
        let path = self.path.with_file_name(name);
        if !path.is_file() {
            return Ok(None);
        }
        let unreadable = |e| Error::new(Kind::Io, format!("cannot read {}: {e}", path.display()));
        fs::read_to_string(&path).map(Some).map_err(unreadable)
    }
}

/// A tensor widened to f32, C order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// The numbers, all finite.
    pub values: Vec<f32>,
}

/// One dimension of an expected shape: what it is called in messages, and its length where it is known.
pub type Dim<'a> = (&'a str, Option<usize>);

/// The tensors of a checkpoint, still in the bytes they came in.
#[derive(Debug)]
pub struct Tensors<'a> {
    source: String,
    bytes: &'a [u8],
    inner: SafeTensors<'a>,
}

impl<'a> Tensors<'a> {
    /// Reads a header and checks that the tensors lie in `bytes` without gap or overlap. `source` is named in errors.
    pub fn parse(bytes: &'a [u8], source: &str) -> Result<Self> {
        let wrong = |what: String| Error::new(Kind::Checkpoint, format!("{source} is not a safetensors file: {what}"));
        let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(wrong(format!("it has {} bytes; even the length of the header takes 8", bytes.len())));
        };
        let header = u64::from_le_bytes(*length);
        if header > LONGEST_HEADER {
            return Err(wrong(format!("its header would take {header} bytes; at most {LONGEST_HEADER} are read")));
        }
        if header > rest.len() as u64 {
            return Err(wrong(format!("its header takes {header} bytes, {} are left: a cut file?", rest.len())));
        }
        let inner = SafeTensors::deserialize(bytes).map_err(|e| {
            wrong(format!("{e} (header of {header} bytes, {} bytes of numbers)", rest.len() as u64 - header))
        })?;
        Ok(Self { source: source.to_owned(), bytes, inner })
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names = self.inner.names();
        names.sort_unstable();
        names
    }

    /// Whether a tensor of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.inner.names().contains(&name)
    }

    /// Takes a tensor of the given shape, widened to f32 from F64, F32, F16 or BF16.
    pub fn take(&self, name: &str, expected: &[Dim]) -> Result<Tensor> {
        let Ok(view) = self.inner.tensor(name) else {
            let shape = show_dims(expected);
            return Err(self.wrong(format!("tensor `{name}` of shape {shape} is missing; found {}", self.inventory())));
        };
        let shape = view.shape();
        check_shape(name, shape, expected).map_err(|message| self.wrong(message))?;
        let values = widen(&view).ok_or_else(|| {
            let kind = view.dtype();
            self.wrong(format!("tensor `{name}` holds {kind:?} numbers; expected F32, F64, F16 or BF16"))
        })?;
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let place = place(index, shape);
            return Err(self.wrong(format!("tensor `{name}` holds {} at {place}", values[index])));
        }
        Ok(Tensor { shape: shape.to_vec(), values })
    }

    /// What the file's own notes say under `key`.
    pub fn note(&self, key: &str) -> Result<Option<String>> {
        let (_, header) = SafeTensors::read_metadata(self.bytes).map_err(|e| self.wrong(e))?;
        Ok(header.metadata().as_ref().and_then(|notes| notes.get(key).cloned()))
    }

    /// Checks that nothing but the tensors of these names is there.
    pub fn only(&self, names: &[&str]) -> Result<()> {
        let extra: Vec<_> = self.names().into_iter().filter(|name| !names.contains(name)).collect();
        if extra.is_empty() {
            return Ok(());
        }
        let (extra, known) = (list(&extra), list(names));
        Err(self.wrong(format!("unexpected tensor {extra}; this kind of checkpoint holds {known} and no other")))
    }

    /// An error about this file.
    pub fn wrong(&self, what: impl std::fmt::Display) -> Error {
        Error::new(Kind::Checkpoint, format!("{}: {what}", self.source))
    }

    /// Names and shapes, for messages; a long list is cut.
    fn inventory(&self) -> String {
        let names = self.names();
        let shape = |name: &str| self.inner.tensor(name).map(|view| view.shape().to_vec()).unwrap_or_default();
        inventory(names.len(), names.iter().map(|&name| (name, shape(name))))
    }

    /// Each tensor as it lies in the bytes: what a reader needs that keeps the bytes in a map.
    pub(crate) fn views(&self) -> Vec<(String, TensorView<'a>)> {
        self.inner.tensors()
    }
}

/// Says what is wrong with a shape, if anything is.
pub(crate) fn check_shape(name: &str, shape: &[usize], expected: &[Dim]) -> Result<(), String> {
    let fits = |(&found, &(_, wanted)): (&usize, &Dim)| wanted.is_none_or(|wanted| wanted == found);
    if shape.len() == expected.len() && shape.iter().zip(expected).all(fits) {
        return Ok(());
    }
    Err(format!("tensor `{name}` has shape {shape:?}, expected {}", show_dims(expected)))
}

/// Names and shapes of `count` tensors, for messages; a long list is cut.
pub(crate) fn inventory<'a>(count: usize, tensors: impl Iterator<Item = (&'a str, Vec<usize>)>) -> String {
    const SHOWN: usize = 8;
    let mut text = String::new();
    for (i, (name, shape)) in tensors.take(SHOWN).enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        let _ = write!(text, "{comma}`{}` {shape:?}", cut(name));
    }
    match count {
        0 => "no tensors".to_owned(),
        n if n > SHOWN => format!("{text} and {} more", n - SHOWN),
        _ => text,
    }
}

fn list(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(8).map(|name| format!("`{}`", cut(name))).collect();
    shown.join(", ")
}

/// A name short enough for a message, whatever a file says.
pub(crate) fn cut(name: &str) -> String {
    name.chars().take(80).collect()
}

pub(crate) fn show_dims(dims: &[Dim]) -> String {
    let shown: Vec<_> = dims
        .iter()
        .map(|(name, length)| length.map_or_else(|| (*name).to_owned(), |length| format!("{name}={length}")))
        .collect();
    format!("[{}]", shown.join(", "))
}

/// Index of a flat position in each dimension.
pub(crate) fn place(mut index: usize, shape: &[usize]) -> String {
    let mut place: Vec<usize> = Vec::with_capacity(shape.len());
    for &length in shape.iter().rev() {
        place.push(index % length.max(1));
        index /= length.max(1);
    }
    place.reverse();
    format!("{place:?}")
}

fn widen(view: &TensorView) -> Option<Vec<f32>> {
    fn each<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        data.as_chunks::<N>().0.iter().map(|&bytes| read(bytes)).collect()
    }
    let data = view.data();
    match view.dtype() {
        Dtype::F32 => Some(each(data, f32::from_le_bytes)),
        Dtype::F64 => Some(each(data, |bytes| f64::from_le_bytes(bytes) as f32)),
        Dtype::F16 => Some(each(data, |bytes| f16::from_le_bytes(bytes).to_f32())),
        Dtype::BF16 => Some(each(data, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        _ => None,
    }
}

/// A safetensors file of f32 tensors, as bytes; the same tensors always give the same bytes.
pub fn to_bytes(tensors: &BTreeMap<&str, (Vec<usize>, &[f32])>) -> Result<Vec<u8>> {
    to_bytes_with(tensors, &[])
}

/// The same with notes in the header.
pub fn to_bytes_with(tensors: &BTreeMap<&str, (Vec<usize>, &[f32])>, notes: &[(&str, &str)]) -> Result<Vec<u8>> {
    let wrong = |e| Error::new(Kind::Checkpoint, format!("these tensors cannot be written: {e}"));
    let bytes: Vec<(&str, &[usize], Vec<u8>)> = tensors
        .iter()
        .map(|(&name, (shape, values))| (name, shape.as_slice(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, shape, data)| Ok((*name, TensorView::new(Dtype::F32, shape.to_vec(), data)?)));
    let views = views.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    let notes: HashMap<_, _> = notes.iter().map(|&(key, text)| (key.to_owned(), text.to_owned())).collect();
    serialize(views, (!notes.is_empty()).then_some(notes)).map_err(wrong)
}

/// Writes a file completely or not at all: beside it first, then renamed into place.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let (partial, mut file) = Partial::create(path)?;
    file.write_all(content).map_err(|error| partial.failed(&error))?;
    partial.finish(&file)
}

/// Body of the fuzz target: any bytes give tensors or an error, in bounded memory.
///
/// # Panics
/// When they do not.
pub fn fuzz_safetensors(data: &[u8]) {
    let Ok(tensors) = Tensors::parse(data, "fuzz") else { return };
    for name in tensors.names() {
        let rank = tensors.inner.tensor(name).map_or(0, |view| view.shape().len());
        let taken = tensors.take(name, &vec![("any", None); rank]);
        if let Ok(tensor) = taken {
            assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
            assert!(tensor.values.len() <= data.len());
        }
    }
    let _ = tensors.only(&["P.weight"]);
    let _ = tensors.take("P.weight", &[("num_models", Some(64)), ("dim", Some(128))]);
}
