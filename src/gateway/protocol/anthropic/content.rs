//! Messages and what they are made of.

use std::fmt;

use serde_json::{Map, Value, json};

use super::super::failing::bad;
use super::super::json::{must_be, need_text, shortened, take, take_list, take_text};
use crate::error::{Error, Result};
use crate::providers::numbers;

/// Where something stands: `messages[3].content[1]`.
#[derive(Clone, Copy)]
struct Place {
    message: usize,
    block: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "messages[{}]", self.message)?;
        self.block.map_or(Ok(()), |block| write!(f, ".content[{block}]"))
    }
}

fn wrong(place: impl fmt::Display, what: impl fmt::Display) -> Error {
    bad(&place, format!("`{place}`: {what}"))
}

/// The system texts as one message.
pub(super) fn system(given: Value) -> Result<Value> {
    let content = match given {
        Value::String(text) => Value::String(text),
        Value::Array(blocks) => {
            let mut parts = Vec::with_capacity(blocks.len());
            for (index, block) in blocks.into_iter().enumerate() {
                parts.push(text_part(block).ok_or_else(|| {
                    let place = format!("system[{index}]");
                    wrong(place, "expected a block of type text with `text`, a string")
                })?);
            }
            plain(parts, "\n\n")
        }
        _ => return Err(must_be("system", "", "a string or a list of text blocks")),
    };
    Ok(json!({"role": "system", "content": content}))
}

/// Adds what a message is in `OpenAI`'s shape: the results of tools are messages of their own there, and come first.
pub(super) fn message(index: usize, given: Value, out: &mut Vec<Value>) -> Result<()> {
    let place = Place { message: index, block: None };
    let Value::Object(mut given) = given else {
        return Err(wrong(place, "expected an object with `role` and `content`"));
    };
    let role = need_text(&mut given, "role", place)?;
    if !matches!(role.as_str(), "user" | "assistant" | "system") {
        return Err(wrong(place, format!("role must be user or assistant, found `{}`", shortened(&role))));
    }
    let content = take(&mut given, "content").ok_or_else(|| must_be("content", place, CONTENT))?;
    let blocks = match content {
        Value::String(text) => {
            out.push(json!({"role": role, "content": text}));
            return Ok(());
        }
        Value::Array(blocks) => blocks,
        _ => return Err(must_be("content", place, CONTENT)),
    };
    let blocks = blocks.into_iter().enumerate().map(|(block, value)| (Place { block: Some(block), ..place }, value));
    match role.as_str() {
        "user" => user(blocks, out),
        "assistant" => {
            out.push(assistant(blocks)?);
            Ok(())
        }
        _ => {
            out.push(system(blocks.map(|(_, block)| block).collect())?);
            Ok(())
        }
    }
}

const CONTENT: &str = "a string or a list of blocks";

/// The fields and the type of a block.
fn opened(place: Place, block: Value) -> Result<(String, Map<String, Value>)> {
    let Value::Object(mut block) = block else { return Err(wrong(place, "expected an object with `type`")) };
    let kind = need_text(&mut block, "type", place)?;
    Ok((kind, block))
}

fn user(blocks: impl Iterator<Item = (Place, Value)>, out: &mut Vec<Value>) -> Result<()> {
    let (mut parts, mut results) = (Vec::new(), false);
    for (place, block) in blocks {
        let (kind, block) = opened(place, block)?;
        if kind == "tool_result" {
            results = true;
            out.push(tool_result(place, block)?);
        } else {
            part(place, &kind, block, &mut parts)?;
        }
    }
    if !parts.is_empty() || !results {
        out.push(json!({"role": "user", "content": plain(parts, "\n\n")}));
    }
    Ok(())
}

fn tool_result(place: Place, mut block: Map<String, Value>) -> Result<Value> {
    let id = need_text(&mut block, "tool_use_id", place)?;
    let content = match take(&mut block, "content") {
        None => Value::from(""),
        Some(Value::String(text)) => Value::String(text),
        Some(Value::Array(blocks)) => {
            let mut parts = Vec::with_capacity(blocks.len());
            for inner in blocks {
                let (kind, inner) = opened(place, inner)?;
                part(place, &kind, inner, &mut parts)?;
            }
            plain(parts, "\n\n")
        }
        Some(_) => return Err(must_be("content", place, CONTENT)),
    };
    let mut made = Map::new();
    made.insert("role".to_owned(), "tool".into());
    made.insert("tool_call_id".to_owned(), id.into());
    made.insert("content".to_owned(), content);
    mark(&mut made, &mut block);
    Ok(Value::Object(made))
}

/// Adds the parts that a block of the user's is.
fn part(place: Place, kind: &str, mut block: Map<String, Value>, parts: &mut Vec<Value>) -> Result<()> {
    let mut made = Map::new();
    match kind {
        "text" => {
            made.insert("type".to_owned(), "text".into());
            made.insert("text".to_owned(), need_text(&mut block, "text", place)?.into());
        }
        "image" => {
            let url = match located(place, &mut block)? {
                Located::Data { mime, data } => format!("data:{mime};base64,{data}"),
                Located::Url(url) => url,
                Located::Parts(_) => return Err(wrong(place, "an image has a source of type base64 or url")),
            };
            made.insert("type".to_owned(), "image_url".into());
            made.insert("image_url".to_owned(), json!({"url": url}));
        }
        "document" => {
            let title = take_text(&mut block, "title", place)?;
            let mut file = Map::new();
            match located(place, &mut block)? {
                Located::Data { mime, data } => {
                    let name = title.unwrap_or_else(|| "document.pdf".to_owned());
                    file.insert("filename".to_owned(), name.into());
                    file.insert("file_data".to_owned(), format!("data:{mime};base64,{data}").into());
                }
                Located::Url(url) => {
                    file.insert("file_url".to_owned(), url.into());
                }
                Located::Parts(inner) => {
                    parts.extend(title.map(|title| json!({"type": "text", "text": title})));
                    parts.extend(inner);
                    return Ok(());
                }
            }
            made.insert("type".to_owned(), "file".into());
            made.insert("file".to_owned(), Value::Object(file));
        }
        "search_result" => {
            let head = ["title", "source"].map(|name| take_text(&mut block, name, place));
            let [title, source] = head;
            let mut lines: Vec<String> = title?.into_iter().chain(source?).collect();
            for inner in take_list(&mut block, "content", place)? {
                lines.extend(inner.get("text").and_then(Value::as_str).map(str::to_owned));
            }
            made.insert("type".to_owned(), "text".into());
            made.insert("text".to_owned(), lines.join("\n").into());
        }
        other => {
            return Err(wrong(
                place,
                format!(
                    "a block must be text, image, document, search_result or tool_result, found `{}`",
                    shortened(other)
                ),
            ));
        }
    }
    mark(&mut made, &mut block);
    parts.push(Value::Object(made));
    Ok(())
}

/// Where the data of an image or a document are.
enum Located {
    Data {
        mime: String,
        data: String,
    },
    Url(String),
    /// They are text.
    Parts(Vec<Value>),
}

fn located(place: Place, block: &mut Map<String, Value>) -> Result<Located> {
    let Some(Value::Object(mut source)) = take(block, "source") else {
        return Err(must_be("source", place, "an object of type base64 or url"));
    };
    match need_text(&mut source, "type", place)?.as_str() {
        "base64" => {
            let mime = need_text(&mut source, "media_type", place)?;
            Ok(Located::Data { mime, data: need_text(&mut source, "data", place)? })
        }
        "url" => Ok(Located::Url(need_text(&mut source, "url", place)?)),
        "text" => {
            let text = need_text(&mut source, "data", place)?;
            Ok(Located::Parts(vec![json!({"type": "text", "text": text})]))
        }
        "content" => match take(&mut source, "content") {
            Some(Value::String(text)) => Ok(Located::Parts(vec![json!({"type": "text", "text": text})])),
            Some(Value::Array(blocks)) => {
                let mut parts = Vec::with_capacity(blocks.len());
                for inner in blocks {
                    let (kind, inner) = opened(place, inner)?;
                    // Text and images; a document in a document would be no end of it.
                    if kind == "document" {
                        return Err(wrong(place, "a document holds no other"));
                    }
                    part(place, &kind, inner, &mut parts)?;
                }
                Ok(Located::Parts(parts))
            }
            _ => Err(must_be("source.content", place, CONTENT)),
        },
        other => Err(wrong(
            place,
            format!(
                "its source must be of type base64, url or text, found `{}`: uploaded files are not here",
                shortened(other)
            ),
        )),
    }
}

fn assistant(blocks: impl Iterator<Item = (Place, Value)>) -> Result<Value> {
    let (mut texts, mut calls, mut thoughts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reasoning, mut order) = (String::new(), Vec::new());
    for (place, block) in blocks {
        let (kind, mut block) = opened(place, block)?;
        match kind.as_str() {
            "text" => {
                let text = need_text(&mut block, "text", place)?;
                order.push((1, Value::from(text.chars().count())));
                let mut made = Map::new();
                made.insert("type".to_owned(), "text".into());
                made.insert("text".to_owned(), text.into());
                mark(&mut made, &mut block);
                texts.push(Value::Object(made));
            }
            "tool_use" => {
                let (id, name) = (need_text(&mut block, "id", place)?, need_text(&mut block, "name", place)?);
                let input = take(&mut block, "input").unwrap_or_else(|| json!({}));
                let arguments = numbers::write(&input);
                order.push((2, kind.into()));
                calls.push(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}));
            }
            "thinking" | "redacted_thinking" => {
                let proof = if kind == "thinking" { "signature" } else { "data" };
                if block.get(proof).and_then(Value::as_str).is_some_and(|proof| !proof.is_empty()) {
                    order.push((0, "thinking".into()));
                    block.insert("type".to_owned(), kind.into());
                    thoughts.push(block);
                } else {
                    // Without a proof it is for reading, and for models that want to read it again.
                    reasoning.push_str(block.get("thinking").and_then(Value::as_str).unwrap_or_default());
                }
            }
            // What tools of Anthropic's own have done there is told in the text as well.
            _ => {}
        }
    }
    let mut made = Map::new();
    made.insert("role".to_owned(), "assistant".into());
    let silent = texts.is_empty() && !calls.is_empty();
    made.insert("content".to_owned(), if silent { Value::Null } else { plain(texts, "") });
    if let Some(first) = thoughts.first_mut()
        && !order.is_sorted_by_key(|(rank, _)| *rank)
    {
        // As `providers::anthropic` hands it out: thoughts between calls have to come back where they stood.
        first.insert("order".to_owned(), order.into_iter().map(|(_, step)| step).collect());
    }
    if !reasoning.is_empty() && thoughts.is_empty() {
        made.insert("reasoning_content".to_owned(), reasoning.into());
    }
    if !thoughts.is_empty() {
        made.insert("thinking_blocks".to_owned(), thoughts.into_iter().map(Value::Object).collect());
    }
    if !calls.is_empty() {
        made.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    Ok(Value::Object(made))
}

/// A block of text as a part, with its mark.
fn text_part(block: Value) -> Option<Value> {
    let Value::Object(mut block) = block else { return None };
    let mut made = Map::new();
    made.insert("type".to_owned(), take(&mut block, "type").filter(|kind| kind == "text")?);
    made.insert("text".to_owned(), take(&mut block, "text").filter(Value::is_string)?);
    mark(&mut made, &mut block);
    Some(Value::Object(made))
}

/// Hands the mark for caching on.
fn mark(made: &mut Map<String, Value>, block: &mut Map<String, Value>) {
    if let Some(mark) = take(block, "cache_control") {
        made.insert("cache_control".to_owned(), mark);
    }
}

/// Parts as content: one text where they are nothing but texts without a mark, which every server understands.
fn plain(parts: Vec<Value>, between: &str) -> Value {
    let bare = |part: &Value| part.as_object().filter(|fields| fields.len() == 2)?.get("text")?.as_str().map(str::len);
    if !parts.iter().all(|part| bare(part).is_some()) {
        return Value::Array(parts);
    }
    let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
    Value::String(texts.join(between))
}
