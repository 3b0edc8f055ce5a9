//! The classifier's prompt: system message, the question inside the classifier's message, the chat format around both.

use std::fs;
use std::path::Path;

use super::template::{Template, strip, universal_newlines};
use crate::error::{Error, Kind, Result};

/// The file of a checkpoint folder that holds the system message.
pub const SYSTEM: &str = "system_ft_v5.txt";

/// The file that holds the user message around the question.
pub const CLASSIFIER: &str = "classifier_ft_v5.txt";

/// Longest prompt file that is read.
const LONGEST: u64 = 1 << 20;

/// How a chat is written out: the text around a system message and around a user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    system: Template,
    user: Template,
}

impl Format {
    /// Two texts with the field `{instruction}`.
    pub fn new(system: &str, user: &str) -> Result<Self> {
        let read = |text, what| Template::parse(text, "instruction", what);
        Ok(Self { system: read(system, "the prompt format's system")?, user: read(user, "the prompt format's user")? })
    }
}

/// Turns a question into the text the model continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The rendered system message, or nothing where the message is empty.
    head: String,
    classifier: Template,
    user: Template,
}

impl Prompt {
    /// From the texts of the two files.
    pub fn new(system: &str, classifier: &str, format: &Format) -> Result<Self> {
        let system = universal_newlines(system);
        // An empty message is left out; one of white space alone is stripped and stays.
        let head = if system.is_empty() { String::new() } else { format.system.fill(strip(&system)) };
        let classifier = Template::parse(&universal_newlines(classifier), "question", CLASSIFIER)?;
        Ok(Self { head, classifier, user: format.user.clone() })
    }

    /// From the two files of a checkpoint folder.
    ///
    /// # Errors
    /// `Kind::Missing` when one is not there; `Kind::Checkpoint` when it is no UTF-8 or has another field than
    /// `{question}`.
    pub fn open(folder: &Path, format: &Format) -> Result<Self> {
        Self::new(&read(&folder.join(SYSTEM))?, &read(&folder.join(CLASSIFIER))?, format)
    }

    /// The text the model continues.
    pub fn render(&self, question: &str) -> String {
        let message = self.classifier.fill(question);
        format!("{}{}", self.head, self.user.fill(strip(&message)))
    }
}

fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let Ok(metadata) = fs::metadata(path) else {
        return Err(Error::new(
            Kind::Missing,
            format!("there is no {shown}, which the classifier's prompt is made of"),
        ));
    };
    if metadata.len() > LONGEST {
        let message = format!("{shown} has {} bytes; at most {LONGEST} are read", metadata.len());
        return Err(Error::new(Kind::Checkpoint, message));
    }
    let bytes = fs::read(path).map_err(|e| Error::new(Kind::Io, format!("cannot read {shown}: {e}")))?;
    String::from_utf8(bytes).map_err(|e| Error::new(Kind::Checkpoint, format!("{shown} is no UTF-8: {e}")))
}
