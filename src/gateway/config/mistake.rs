//! A mistake in a configuration: where it is, what was expected, and what was found, unless that may be a secret.

use std::fmt;

use crate::data::yaml::node::{At, Data, Mark, choices, cut, joined, place};

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// Line and column, where it has them.
    pub mark: Option<Mark>,
    /// The way to it, such as `policies[0].budget`.
    pub path: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&joined(&[&place(&self.file, self.mark), &self.path, &self.what]))
    }
}

/// What is wrong with a file, all of it.
#[derive(Debug, Default)]
pub struct Mistakes {
    file: String,
    found: Vec<Mistake>,
}

impl Mistakes {
    /// More than anybody reads at once.
    const MOST: usize = 100;

    /// Of the file called `name`.
    pub fn of(name: &str) -> Self {
        Self { file: name.to_owned(), found: Vec::new() }
    }

    /// Whether there are any.
    pub fn any(&self) -> bool {
        !self.found.is_empty()
    }

    /// All of them, in the order of the file.
    pub fn sorted(mut self) -> Vec<Mistake> {
        self.found.sort_by_key(|mistake| mistake.mark.map(|mark| (mark.line, mark.column)));
        self.found
    }

    /// Something else was expected here.
    pub fn expected(&mut self, at: &At<'_>, what: &str, secret: bool) {
        self.wrong(at, format!("expected {what}, found {}", found(at, secret)));
    }

    /// Something is wrong here.
    pub fn wrong(&mut self, at: &At<'_>, what: impl Into<String>) {
        self.add(at.node.mark, at.path(), what.into());
    }

    /// A key that there is not.
    pub fn unknown(&mut self, at: &At<'_>, parent: &At<'_>, known: &[&str]) {
        let Some(key) = at.key() else { return };
        let said = format!("unknown key '{}'{}", name(&key.text), choices(&key.text, known));
        self.add(key.mark, parent.path(), said);
    }

    fn add(&mut self, mark: Option<Mark>, path: String, what: String) {
        if self.found.len() < Self::MOST {
            self.found.push(Mistake { file: self.file.clone(), mark, path, what });
        }
    }
}

/// What is found at a place. Of a text only what cannot be a secret: one may have slipped a line.
fn found(at: &At<'_>, secret: bool) -> String {
    match &at.node.data {
        Data::Text(text) if secret || may_be_secret(text) => "a text".to_owned(),
        Data::Number(_) if secret => "a number".to_owned(),
        _ => at.node.shown(),
    }
}

/// A name that somebody wrote, for a message.
pub fn name(text: &str) -> String {
    if may_be_secret(text) { "…".to_owned() } else { cut(text) }
}

/// Whether a text looks like a key, or like an address with a password.
pub fn may_be_secret(text: &str) -> bool {
    const LONGEST_WORD: usize = 24;
    let known = ["sk-", "sk_", "frk_", "gsk_", "xai-", "pplx-", "AIza", "ghp_", "hf_", "eyJ", "Bearer "];
    let dense = |word: &str| {
        word.len() >= LONGEST_WORD
            && word.bytes().any(|byte| byte.is_ascii_digit())
            && word.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    known.iter().any(|start| text.starts_with(start))
        || (text.contains("://") && text.contains('@'))
        || text.split(|c: char| c.is_whitespace() || "/.-:,".contains(c)).any(dense)
}

/// The reader's own complaint, `name:line:column: what`, taken apart again.
pub fn of_yaml(message: &str, file: &str) -> Mistake {
    let mut mistake = Mistake { file: file.to_owned(), mark: None, path: String::new(), what: message.to_owned() };
    let Some(rest) = message.strip_prefix(file).and_then(|rest| rest.strip_prefix(':')) else { return mistake };
    let mut parts = rest.splitn(3, ':');
    let mut number = || parts.next()?.trim().parse::<usize>().ok();
    if let (Some(line), Some(column)) = (number(), number()) {
        mistake.mark = Some(Mark { line, column });
        parts.next().unwrap_or_default().trim().clone_into(&mut mistake.what);
    }
    mistake
}
