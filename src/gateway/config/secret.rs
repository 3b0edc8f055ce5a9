//! Secrets by reference: `env:NAME` and `file:PATH`. What they stand for is read once, when the file is; a message names
//! the reference, never the value.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use super::mistake::Mistakes;
use super::shape::{Fields, Shape};
use crate::data::yaml::node::{At, Data, cut};

/// Bytes of a secret.
const MOST_BYTES: u64 = 64 << 10;
/// What is shown of a secret that is written in the file itself.
const HIDDEN: &str = "(hidden)";

/// Where references lead.
pub struct Surroundings<'a> {
    /// The environment's variables.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The folder that relative paths begin in: the configuration's own.
    pub folder: &'a Path,
}

/// What becomes of secrets.
pub enum Secrets<'a> {
    /// They are looked up; what cannot be found is a mistake.
    Found(&'a Surroundings<'a>),
    /// Their references are shown, and nothing of them else.
    Hidden,
}

/// The tree at a place as JSON.
pub fn json(at: &At<'_>, shape: &Shape, secrets: &Secrets<'_>, mistakes: &mut Mistakes) -> Json {
    match shape {
        Shape::Any => any(at, secrets, mistakes),
        Shape::Secret => secret(at, secrets, mistakes),
        Shape::Address if at.node.to_json().as_str().is_some_and(|text| text.starts_with("env:")) => {
            secret(at, secrets, mistakes)
        }
        Shape::List(item, ..) => {
            Json::Array(at.each().iter().map(|each| json(each, item, secrets, mistakes)).collect())
        }
        Shape::Names(value, ..) => members(at, mistakes, |_, member, mistakes| json(member, value, secrets, mistakes)),
        Shape::Fields(known) => members(at, mistakes, |name, member, mistakes| {
            let shape = field(known, name).unwrap_or(&Shape::Any);
            json(member, shape, secrets, mistakes)
        }),
        Shape::Either(shapes, _) => {
            let shape = shapes.iter().find(|shape| match (&at.node.data, shape) {
                (Data::Map(_), shape) => matches!(shape, Shape::Fields(_) | Shape::Names(..)),
                (Data::List(_), shape) => matches!(shape, Shape::List(..)),
                _ => false,
            });
            shape.map_or_else(|| at.node.to_json(), |shape| json(at, shape, secrets, mistakes))
        }
        Shape::OrNothing(_) if at.node.data == Data::Null => Json::Null,
        Shape::OrNothing(shape) => json(at, shape, secrets, mistakes),
        _ => at.node.to_json(),
    }
}

fn field(known: &'static Fields, name: &str) -> Option<&'static Shape> {
    known.fields.iter().find(|field| field.name == name).map(|field| &field.shape)
}

fn members(at: &At<'_>, mistakes: &mut Mistakes, mut each: impl FnMut(&str, &At<'_>, &mut Mistakes) -> Json) -> Json {
    let mut found = Map::new();
    for (name, member) in at.members("").into_iter().flatten() {
        found.insert(name.to_owned(), each(name, &member, mistakes));
    }
    Json::Object(found)
}

/// What others understand: keys of models may be in it all the same.
fn any(at: &At<'_>, secrets: &Secrets<'_>, mistakes: &mut Mistakes) -> Json {
    match &at.node.data {
        Data::List(_) => Json::Array(at.each().iter().map(|each| any(each, secrets, mistakes)).collect()),
        Data::Map(_) => members(at, mistakes, |name, member, mistakes| match (name, &member.node.data) {
            ("api_key", Data::Text(_)) => secret(member, secrets, mistakes),
            ("extra_headers" | "extra_query", Data::Map(_)) => {
                json(member, &Shape::Names(&Shape::Secret, "", 0), secrets, mistakes)
            }
            _ => any(member, secrets, mistakes),
        }),
        _ => at.node.to_json(),
    }
}

fn secret(at: &At<'_>, secrets: &Secrets<'_>, mistakes: &mut Mistakes) -> Json {
    let Data::Text(text) = &at.node.data else { return at.node.to_json() };
    let Secrets::Found(around) = secrets else { return Json::String(shown(text)) };
    match looked_up(text, around) {
        Ok(value) => Json::String(value),
        Err(what) => {
            mistakes.wrong(at, what);
            Json::Null
        }
    }
}

/// What a reference, or a secret itself, is shown as.
pub fn shown(text: &str) -> String {
    match reference(text) {
        Some(("env:", name)) if !is_variable(name) => HIDDEN.to_owned(),
        Some(_) => cut(text),
        None => HIDDEN.to_owned(),
    }
}

fn reference(text: &str) -> Option<(&str, &str)> {
    // The last is how LiteLLM writes it.
    [("env:", "env:"), ("file:", "file:"), ("os.environ/", "env:")]
        .into_iter()
        .find_map(|(start, kind)| text.strip_prefix(start).map(|rest| (kind, rest)))
}

/// What a text stands for: itself, or what its reference leads to.
fn looked_up(text: &str, around: &Surroundings<'_>) -> Result<String, String> {
    let found = match reference(text) {
        None => return Ok(text.to_owned()),
        Some(("env:", name)) if !is_variable(name) => {
            return Err("expected the name of a variable after env:".to_owned());
        }
        Some(("env:", name)) => {
            (around.env)(name).ok_or_else(|| format!("the environment has no variable {}", cut(name)))?
        }
        Some((_, path)) => {
            let path: PathBuf = around.folder.join(path);
            let shown = path.display();
            let size = std::fs::metadata(&path).map_err(|error| format!("{shown}: {}", said(&error)))?;
            if !size.is_file() || size.len() > MOST_BYTES {
                return Err(format!("{shown}: expected a file of at most {} KiB", MOST_BYTES >> 10));
            }
            std::fs::read_to_string(&path).map_err(|error| format!("{shown}: {}", said(&error)))?
        }
    };
    let found = found.trim();
    if found.is_empty() { Err(format!("{} is empty", cut(text))) } else { Ok(found.to_owned()) }
}

fn is_variable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.is_empty() && name.len() <= 100
}

fn said(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::InvalidData => "is not UTF-8".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}
