//! The file of a ramp: its plan, then a line for each audit and each move, as they came.
//!
//! Lines are only ever added, under a lock, so several processes may share a file: each reads what the others have added
//! before it adds its own, and all of them see the same audits in the same order. A process that is killed leaves at
//! worst a line without its end, which the next one cuts off. Every line is JSON.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Audit;
use super::moves::Move;
use super::plan::Plan;
use crate::error::{Error, Kind, Result};

/// The version of the form below.
const VERSION: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    ferroute_ramp: u32,
    #[serde(flatten)]
    plan: Plan,
}

/// A later line.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// `[seconds since 1970, win rate, strong score, weak score, probability of having been audited]`, and where it is known
    /// the threshold that it was routed by.
    Audit(u64, Audit, f64, Option<f64>),
    /// An object.
    Move(Move),
}

/// The plan as a file's first line.
pub fn head(plan: &Plan) -> Result<String> {
    let told = |error: serde_json::Error| Error::value(format!("the plan cannot be written: {error}"));
    Ok(serde_json::to_string(&Head { ferroute_ramp: VERSION, plan: plan.clone() }).map_err(told)? + "\n")
}

/// A plan from a file's first line.
pub fn plan(line: &str) -> Result<Plan> {
    let head: Head =
        serde_json::from_str(line).map_err(|error| Error::value(format!("expected the plan of a ramp: {error}")))?;
    if head.ferroute_ramp != VERSION {
        return Err(Error::value(format!("expected version {VERSION}, found {}", head.ferroute_ramp)));
    }
    head.plan.check()?;
    Ok(head.plan)
}

impl Line {
    /// As it is written.
    pub fn write(&self) -> Result<String> {
        match self {
            // Rust's shortest form reads back to the same bits.
            Self::Audit(at, audit, probability, routed_by) => {
                let Audit { win_rate, strong, weak } = audit;
                // Infinity is no number in JSON.
                let routed_by = match routed_by {
                    None => String::new(),
                    Some(threshold) if threshold.is_finite() => format!(",{threshold}"),
                    Some(threshold) => format!(",\"{threshold}\""),
                };
                Ok(format!("[{at},{win_rate},{strong},{weak},{probability}{routed_by}]\n"))
            }
            Self::Move(one) => {
                let told = |error: serde_json::Error| Error::value(format!("a move cannot be written: {error}"));
                Ok(serde_json::to_string(one).map_err(told)? + "\n")
            }
        }
    }

    /// Reads what `write` wrote.
    pub fn read(line: &str) -> Result<Self> {
        let Some(row) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
            let one: Move = serde_json::from_str(line).map_err(|error| {
                Error::value(format!("expected an audit or a move, found {}: {error}", short(line)))
            })?;
            return Ok(Self::Move(one));
        };
        // Not serde_json, which may lose the last bit of a number.
        let cells: Vec<&str> = row.split(',').collect();
        let number = |at: usize| cells.get(at).and_then(|cell| cell.trim().trim_matches('"').parse::<f64>().ok());
        let (Some(win_rate), Some(strong), Some(weak), Some(probability)) =
            (number(1), number(2), number(3), number(4))
        else {
            return Err(Error::value(format!("expected five numbers or six, found {}", short(line))));
        };
        let routed_by = number(5);
        if cells.len() != if routed_by.is_some() { 6 } else { 5 } {
            return Err(Error::value(format!("expected five numbers or six, found {}", short(line))));
        }
        let at =
            cells[0].trim().parse().map_err(|_| Error::value(format!("expected a time, found {}", short(line))))?;
        Ok(Self::Audit(at, Audit::new(win_rate, strong, weak)?, probability, routed_by))
    }
}

fn short(line: &str) -> String {
    format!("{:?}", line.trim().chars().take(60).collect::<String>())
}

/// An open file.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// The process that opened it: a lock is shared with a child, so that has to open it anew.
    pid: u32,
    /// Bytes and lines that were read.
    read: u64,
    lines: u64,
}

impl Journal {
    /// Opens a file, and makes it with `head` where there is none.
    pub fn open(path: &Path, head: Option<&str>) -> Result<Self> {
        let file = match open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == Kind::Missing => {
                let Some(head) = head else { return Err(error) };
                create(path, head)?;
                open(path)?
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), file, pid: std::process::id(), read: 0, lines: 0 })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether others have added something.
    pub fn has_news(&self) -> bool {
        self.file.metadata().is_ok_and(|told| told.len() > self.read)
    }

    /// Gives `take` every whole line that was not read yet, with its number, then writes what it returns in the end.
    ///
    /// All under one lock. What `finish` returns counts as read.
    pub fn with<T>(
        &mut self,
        mut take: impl FnMut(u64, &str) -> Result<()>,
        finish: impl FnOnce() -> Result<(T, String)>,
    ) -> Result<T> {
        if self.pid != std::process::id() {
            self.file = open(&self.path)?;
            self.pid = std::process::id();
        }
        if !self.path.exists() {
            // Writing on would work, into a file that nobody can find.
            let text = format!(
                "{}: the file of the ramp is gone; what was known of it is kept until the process ends",
                self.path.display()
            );
            return Err(Error::new(Kind::Missing, text));
        }
        let told = |what: &str, error: &std::io::Error| {
            Error::new(Kind::Io, format!("{}: cannot be {what}: {error}", self.path.display()))
        };
        self.file.lock().map_err(|error| told("locked", &error))?;
        let done = (|| {
            let mut news = Vec::new();
            self.file.seek(SeekFrom::Start(self.read)).map_err(|error| told("read", &error))?;
            self.file.read_to_end(&mut news).map_err(|error| told("read", &error))?;
            let whole = news.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            for line in news[..whole].split_inclusive(|byte| *byte == b'\n') {
                self.lines += 1;
                self.read += line.len() as u64;
                let text = String::from_utf8_lossy(line);
                let here = |error: Error| error.context(format!("{}, line {}", self.path.display(), self.lines));
                take(self.lines, text.trim_end()).map_err(here)?;
            }
            if whole < news.len() {
                // Somebody was killed while he wrote.
                self.file.set_len(self.read).map_err(|error| told("written", &error))?;
            }
            let (value, text) = finish()?;
            if let Err(error) = self.file.write_all(text.as_bytes()) {
                // Of a full disk nothing is kept by half.
                let _ = self.file.set_len(self.read);
                return Err(told("written", &error));
            }
            self.read += text.len() as u64;
            self.lines += text.matches('\n').count() as u64;
            Ok(value)
        })();
        let freed = self.file.unlock().map_err(|error| told("unlocked", &error));
        done.and_then(|value| freed.map(|()| value))
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).append(true).open(path).map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            return Error::new(Kind::Missing, format!("{}: there is no such file", path.display()));
        }
        Error::new(Kind::Io, format!("{}: cannot be opened: {error}", path.display()))
    })
}

/// Makes a file with its first line, whole or not at all; one that somebody else has made meanwhile stays.
fn create(path: &Path, head: &str) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let made = std::fs::write(&part, head).and_then(|()| match std::fs::hard_link(&part, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // Not every file system has links.
        Err(_) if !path.exists() => std::fs::rename(&part, path),
        other => other,
    });
    let _ = std::fs::remove_file(&part);
    made.map_err(|error| Error::new(Kind::Io, format!("{}: cannot be made: {error}", path.display())))
}
