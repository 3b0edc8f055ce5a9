//! Prompts read from text, JSONL, CSV and Parquet, in batches and in bounded memory.
//!
//! | format | one prompt is | its row number |
//! |---|---|---|
//! | [`Format::Text`] | a line that is not blank | line |
//! | [`Format::Jsonl`] | a line: a JSON string, or an object with one of [`FIELDS`] or the column asked for | line |
//! | [`Format::Csv`] | a record after the header line; quoted fields may hold line breaks | record, from 1 |
//! | [`Format::Parquet`] | a row of a string column | row, from 1 |
//!
//! An empty prompt is a prompt; a missing or null one is a bad row. Bad rows end the reading with an error that names
//! file and row, after everything before them was handed out; with [`Options::skip_bad`] they are counted instead.

pub(super) mod csv;
pub(super) mod json;
pub(super) mod lines;
mod parquet;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use super::reading::MAX_ROW_BYTES;
use super::reading::{Interruptible, listed, not_utf8, read_error, too_long};
use crate::error::{Error, Kind, Result};

/// The names under which a prompt is looked for, in this order, when no column is asked for.
///
/// `messages` is a conversation, of which the last message counts; only JSONL can hold one.
pub const FIELDS: [&str; 4] = ["prompt", "messages", "question", "text"];

/// The names of [`FIELDS`] that a column of strings may have.
const COLUMNS: [&str; 3] = ["prompt", "question", "text"];

/// A batch ends once it holds this many bytes of text.
const MAX_BATCH_BYTES: usize = 16 << 20;

/// How prompts are laid out in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One prompt a line.
    Text,
    /// One JSON value a line.
    Jsonl,
    /// Comma-separated values with a header line.
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The format called `name`: `text`, `jsonl`, `csv` or `parquet`.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "text" => Ok(Self::Text),
            "jsonl" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            "parquet" => Ok(Self::Parquet),
            _ => Err(Error::value(format!("unknown format `{name}`: expected text, jsonl, csv or parquet"))),
        }
    }

    /// The format that a file's extension stands for; a name without one (a pipe, say) stands for text.
    pub fn from_path(path: &Path) -> Result<Self> {
        let Some(extension) = path.extension() else { return Ok(Self::Text) };
        match extension.to_string_lossy().to_ascii_lowercase().as_str() {
            "txt" | "text" => Ok(Self::Text),
            "jsonl" | "ndjson" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            "parquet" | "pq" => Ok(Self::Parquet),
            other => Err(Error::value(format!(
                "{}: the extension `.{other}` does not say how prompts are laid out: expected .txt, .jsonl, .csv or \
                 .parquet, or a format of text, jsonl, csv or parquet",
                path.display()
            ))),
        }
    }

    /// The name that [`Format::from_name`] takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// How to read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The layout; by default what the file's extension says.
    pub format: Option<Format>,
    /// The JSONL field, CSV column or Parquet column that holds the prompt; by default the first of [`FIELDS`].
    pub column: Option<String>,
    /// Count bad rows and go on, where otherwise the first one is an error.
    pub skip_bad: bool,
    /// Asked when a signal interrupts a wait for input; `false` ends the reading with [`Kind::Cancelled`].
    pub on_interrupt: Option<fn() -> bool>,
}

/// One prompt and where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Line, record or row number, from 1 (the table above).
    pub row: u64,
    /// The text, without its line end.
    pub text: String,
}

/// What a format's reader meets next.
enum Row {
    Prompt(Prompt),
    /// A row without a usable prompt, and why; the reader can go on after it.
    Bad(Error),
}

/// One format's reader.
trait Rows: Send {
    /// The next row, or `None` at the end. Errors are final: the file itself cannot be read on.
    fn next(&mut self) -> Result<Option<Row>>;

    /// Whether the next row may have to be waited for, so that what is there should be handed out first.
    fn would_wait(&self) -> bool {
        false
    }
}

/// A stream of prompts from one file or pipe.
pub struct Prompts {
    name: String,
    format: Format,
    rows: Box<dyn Rows>,
    skip_bad: bool,
    skipped: u64,
    first_skipped: Option<String>,
    /// Met after prompts that had to be handed out first.
    pending: Option<Error>,
    ended: bool,
}

impl Prompts {
    /// Opens a file. Its header, or Parquet footer, is read and the column found at once.
    ///
    /// # Errors
    /// [`Kind::Missing`] or [`Kind::Io`] where the file cannot be opened, [`Kind::Value`] where it has no such column
    /// or is not of the format.
    pub fn open(path: &Path, options: &Options) -> Result<Self> {
        let name = path.display().to_string();
        let format = options.format.map_or_else(|| Format::from_path(path), Ok)?;
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(Kind::Missing, format!("{name}: no such file")),
            _ => Error::new(Kind::Io, format!("{name}: cannot be opened: {error}")),
        })?;
        if file.metadata().is_ok_and(|data| data.is_dir()) {
            return Err(Error::new(Kind::Io, format!("{name}: is a folder, expected a file of prompts")));
        }
        if format == Format::Parquet {
            let rows = parquet::Column::open(file, options.column.as_deref()).map_err(|error| error.context(&name))?;
            return Ok(Self::new(name, format, Box::new(rows), options));
        }
        Self::from_read(name, Box::new(file), format, options)
    }

    /// Reads standard input, as text where no format is asked for.
    pub fn from_stdin(options: &Options) -> Result<Self> {
        let format = options.format.unwrap_or(Format::Text);
        Self::from_read("standard input".to_owned(), Box::new(io::stdin()), format, options)
    }

    /// Reads a stream; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for Parquet, whose index is at its end: it needs a file. Otherwise as [`Prompts::open`].
    pub fn from_read(name: String, read: Box<dyn Read + Send>, format: Format, options: &Options) -> Result<Self> {
        let read = Box::new(Interruptible { read, on_interrupt: options.on_interrupt, unasked: 0 });
        let column = options.column.as_deref();
        let rows: Result<Box<dyn Rows>> = match format {
            Format::Text if column.is_some() => {
                Err(Error::value("plain text has no columns: expected jsonl, csv or parquet where a column is named"))
            }
            Format::Text => Ok(Box::new(lines::Text::new(read))),
            Format::Jsonl => Ok(Box::new(json::Jsonl::new(read, column))),
            Format::Csv => csv::Csv::new(read, column).map(|rows| Box::new(rows) as Box<dyn Rows>),
            Format::Parquet => Err(Error::new(
                Kind::Unsupported,
                "Parquet cannot be read from a pipe, because its index is at the end: expected a file",
            )),
        };
        let rows = rows.map_err(|error| error.context(&name))?;
        Ok(Self::new(name, format, rows, options))
    }

    fn new(name: String, format: Format, rows: Box<dyn Rows>, options: &Options) -> Self {
        let skip_bad = options.skip_bad;
        Self { name, format, rows, skip_bad, skipped: 0, first_skipped: None, pending: None, ended: false }
    }

    /// The next prompts, at most `limit` and at most about 16 MiB of text; none at the end.
    ///
    /// A batch is cut short where more input has to be waited for, so a slow pipe is served as it comes.
    pub fn next_batch(&mut self, limit: usize) -> Result<Vec<Prompt>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < limit && bytes < MAX_BATCH_BYTES {
            match self.step() {
                Ok(Some(prompt)) => {
                    bytes += prompt.text.len();
                    batch.push(prompt);
                }
                Ok(None) => break,
                // Who interrupts wants an end now, not after the next batch.
                Err(error) if batch.is_empty() || error.kind() == Kind::Cancelled => return Err(error),
                Err(error) => {
                    self.pending = Some(error);
                    break;
                }
            }
            if self.rows.would_wait() {
                break;
            }
        }
        Ok(batch)
    }

    /// The layout that is being read.
    pub fn format(&self) -> Format {
        self.format
    }

    /// How many bad rows were skipped so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// What was wrong with the first row that was skipped.
    pub fn first_skipped(&self) -> Option<&str> {
        self.first_skipped.as_deref()
    }

    fn step(&mut self) -> Result<Option<Prompt>> {
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        while !self.ended {
            match self.rows.next() {
                Ok(Some(Row::Prompt(prompt))) => return Ok(Some(prompt)),
                Ok(Some(Row::Bad(error))) if self.skip_bad => {
                    self.skipped += 1;
                    let name = &self.name;
                    self.first_skipped.get_or_insert_with(|| format!("{name}, {}", error.message()));
                }
                Ok(None) => self.ended = true,
                Ok(Some(Row::Bad(error))) => {
                    self.ended = true;
                    return Err(Error::new(error.kind(), format!("{}, {}", self.name, error.message())));
                }
                Err(error) => {
                    self.ended = true;
                    return Err(error.context(&self.name));
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Prompts {
    type Item = Result<Prompt>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

impl fmt::Debug for Prompts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompts").field("name", &self.name).field("format", &self.format).finish_non_exhaustive()
    }
}
