//! What rules and configurations are read from: one tree for YAML and for Python, whose nodes know where they stand.

use std::fmt::{self, Write as _};

use serde_json::Value as Json;

use crate::error::{Error, Result};

/// Line and column of a node in its file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins; a tree from Python has no lines.
    pub mark: Option<Mark>,
    /// What it is.
    pub data: Data,
}

/// A key of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Where it begins.
    pub mark: Option<Mark>,
    /// Its text.
    pub text: String,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of its keys, none of them twice.
    Map(Vec<(Key, Node)>),
}

impl Node {
    /// A tree of JSON, as Python hands it over.
    pub fn of_json(json: &Json) -> Self {
        let data = match json {
            Json::Null => Data::Null,
            Json::Bool(flag) => Data::Bool(*flag),
            Json::Number(number) => Data::Number(number.to_string()),
            Json::String(text) => Data::Text(text.clone()),
            Json::Array(items) => Data::List(items.iter().map(Self::of_json).collect()),
            Json::Object(members) => {
                let entry =
                    |(name, value): (&String, &Json)| (Key { mark: None, text: name.clone() }, Self::of_json(value));
                Data::Map(members.iter().map(entry).collect())
            }
        };
        Self { mark: None, data }
    }

    /// The same tree as JSON; a number that JSON cannot say becomes text.
    pub fn to_json(&self) -> Json {
        match &self.data {
            Data::Null => Json::Null,
            Data::Bool(flag) => Json::Bool(*flag),
            Data::Number(number) => serde_json::from_str(number).unwrap_or_else(|_| Json::String(number.clone())),
            Data::Text(text) => Json::String(text.clone()),
            Data::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Data::Map(entries) => {
                Json::Object(entries.iter().map(|(key, value)| (key.text.clone(), value.to_json())).collect())
            }
        }
    }

    /// What is found here, in words; texts are cut.
    pub fn shown(&self) -> String {
        match &self.data {
            Data::Null => "nothing".to_owned(),
            Data::Bool(flag) => flag.to_string(),
            Data::Number(number) => cut(number),
            Data::Text(text) => format!("'{}'", cut(text)),
            Data::List(items) if items.is_empty() => "an empty list".to_owned(),
            Data::List(_) => "a list".to_owned(),
            Data::Map(entries) if entries.is_empty() => "an empty mapping".to_owned(),
            Data::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// A text short enough for an error.
pub fn cut(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST).chain(['…']).collect()
}

/// A node with the way that leads to it.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The node.
    pub node: &'a Node,
    name: &'a str,
    way: Way<'a>,
}

#[derive(Clone, Copy)]
enum Way<'a> {
    Root,
    Item(&'a At<'a>, usize),
    Member(&'a At<'a>, &'a Key),
}

impl<'a> At<'a> {
    /// The root of what is called `name`; empty for what has no name of its own.
    pub fn root(node: &'a Node, name: &'a str) -> Self {
        Self { node, name, way: Way::Root }
    }

    /// Its members.
    ///
    /// # Errors
    /// It is no map; `what` says what it should be.
    pub fn members(&'a self, what: &str) -> Result<impl Iterator<Item = (&'a str, At<'a>)> + 'a> {
        let Data::Map(entries) = &self.node.data else { return Err(self.expected(what)) };
        let member = |(key, node): &'a (Key, Node)| {
            (key.text.as_str(), At { node, name: self.name, way: Way::Member(self, key) })
        };
        Ok(entries.iter().map(member))
    }

    /// Its items; of anything but a list that thing itself.
    pub fn one_or_more(&'a self) -> Vec<At<'a>> {
        match &self.node.data {
            Data::List(items) => items.iter().enumerate().map(|(index, node)| self.item(index, node)).collect(),
            _ => vec![*self],
        }
    }

    /// Its items; none where it is no list.
    pub fn each(&'a self) -> Vec<At<'a>> {
        match &self.node.data {
            Data::List(items) => items.iter().enumerate().map(|(index, node)| self.item(index, node)).collect(),
            _ => Vec::new(),
        }
    }

    /// The member of that name, if it is a map that has one.
    pub fn member(&'a self, name: &str) -> Option<At<'a>> {
        self.members("").ok()?.find(|(key, _)| *key == name).map(|(_, member)| member)
    }

    /// Its number, if it is one as JSON writes them.
    pub fn number(&self) -> Option<f64> {
        let Data::Number(number) = &self.node.data else { return None };
        serde_json::from_str::<f64>(number).ok()
    }

    /// Its items.
    ///
    /// # Errors
    /// It is no list, or an empty one; `what` says of what it should be.
    pub fn items(&'a self, what: &str) -> Result<Vec<At<'a>>> {
        match &self.node.data {
            Data::List(items) if !items.is_empty() => {
                Ok(items.iter().enumerate().map(|(index, node)| self.item(index, node)).collect())
            }
            _ => Err(self.expected(&format!("a list of {what}"))),
        }
    }

    fn item(&'a self, index: usize, node: &'a Node) -> At<'a> {
        At { node, name: self.name, way: Way::Item(self, index) }
    }

    /// Its text, which is not empty.
    ///
    /// # Errors
    /// It is none; `what` says what it should be.
    pub fn text(&self, what: &str) -> Result<&'a str> {
        match &self.node.data {
            Data::Text(text) if !text.trim().is_empty() => Ok(text),
            _ => Err(self.expected(what)),
        }
    }

    /// True or false.
    pub fn flag(&self) -> Result<bool> {
        match self.node.data {
            Data::Bool(flag) => Ok(flag),
            _ => Err(self.expected("true or false")),
        }
    }

    /// "expected x, found y" at this place.
    pub fn expected(&self, what: &str) -> Error {
        self.wrong(&format!("expected {what}, found {}", self.node.shown()))
    }

    /// An error at this place.
    pub fn wrong(&self, what: &str) -> Error {
        Error::value(joined(&[&self.whole_place(), what]))
    }

    /// An error of a key that nobody knows, with those that there are.
    pub fn unknown(&self, what: &str, known: &[&str]) -> Error {
        let Way::Member(parent, key) = self.way else { return self.wrong(&format!("unknown {what}")) };
        let said = format!("unknown {what} '{}'{}", cut(&key.text), choices(&key.text, known));
        Error::value(joined(&[&place(self.name, key.mark), &parent.path(), &said]))
    }

    /// File, line and column as far as they are known, and the way to it.
    pub fn whole_place(&self) -> String {
        joined(&[&place(self.name, self.node.mark), &self.path()])
    }

    /// The key that it is the value of.
    pub fn key(&self) -> Option<&'a Key> {
        match self.way {
            Way::Member(_, key) => Some(key),
            _ => None,
        }
    }

    /// File and line of a rule, for those who look for it; for Python's trees the way to it.
    pub fn short_place(&self) -> String {
        match self.node.mark {
            Some(mark) if self.name.is_empty() => format!("line {}", mark.line),
            Some(mark) => format!("{}:{}", self.name, mark.line),
            None => self.path(),
        }
    }

    /// The way to it, such as `rules[2].when.words`.
    pub fn path(&self) -> String {
        let mut path = String::new();
        self.walk(&mut path);
        path
    }

    fn walk(&self, path: &mut String) {
        match self.way {
            Way::Root => {}
            Way::Item(parent, index) => {
                parent.walk(path);
                let _ = write!(path, "[{index}]");
            }
            Way::Member(parent, key) => {
                parent.walk(path);
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&cut(&key.text));
            }
        }
    }
}

impl fmt::Debug for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole_place())
    }
}

/// Those that are not empty, with a colon between them.
pub fn joined(parts: &[&str]) -> String {
    parts.iter().copied().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// `name:line:column`, as far as they are known.
pub fn place(name: &str, mark: Option<Mark>) -> String {
    match mark {
        Some(Mark { line, column }) if name.is_empty() => format!("line {line}, column {column}"),
        Some(Mark { line, column }) => format!("{name}:{line}:{column}"),
        None => name.to_owned(),
    }
}

/// "; did you mean 'x'?" where a name is near, else the names there are.
pub fn choices(found: &str, known: &[&str]) -> String {
    match near(found, known) {
        Some(name) => format!("; did you mean '{name}'? There are {}", known.join(", ")),
        None => format!("; there are {}", known.join(", ")),
    }
}

/// The one of the `known` that may have been meant by `found`.
pub fn near<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let least = known.iter().map(|name| (distance(found, name), *name)).min_by_key(|(distance, _)| *distance);
    least.filter(|(distance, name)| *distance <= 2.min(name.chars().count() / 2)).map(|(_, name)| name)
}

/// Characters to change, put in, leave out or swap until one text is the other; only the first 40 are looked at.
fn distance(a: &str, b: &str) -> usize {
    const MOST: usize = 40;
    let lower = |text: &str| text.chars().take(MOST).flat_map(char::to_lowercase).collect::<Vec<_>>();
    let (a, b) = (lower(a), lower(b));
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_offered() {
        assert_eq!(distance("wordz", "words"), 1);
        assert_eq!(distance("wrods", "words"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(choices("wordz", &["words", "task"]), "; did you mean 'words'? There are words, task");
        assert_eq!(choices("colour", &["words", "task"]), "; there are words, task");
        assert_eq!(choices("x", &["in"]), "; there are in");
    }
}
