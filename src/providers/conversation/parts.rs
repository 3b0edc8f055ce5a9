//! What a message is made of.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::super::numbers;
use super::Place;
use crate::error::Result;

/// One piece of a turn.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// Where it stands in the request.
    pub place: Place,
    /// `cache_control` as the caller wrote it; a mark on the whole message is one on its last part.
    pub cache: Option<&'a Value>,
    /// What it is.
    pub content: Content<'a>,
}

/// What a piece is.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    /// Text; may be empty.
    Text(&'a str),
    /// Why the model did not answer, in its own words.
    Refusal(&'a str),
    /// An image.
    Image(Media<'a>),
    /// Recorded speech.
    Audio(Media<'a>),
    /// A document, of any type.
    File(Media<'a>),
    /// The model asks for a tool.
    Call(Call<'a>),
    /// A tool has answered.
    Result(ToolResult<'a>),
    /// What the model thought before it spoke.
    Reasoning(Reasoning<'a>),
}

/// Data that is not text.
#[derive(Debug, Clone)]
pub struct Media<'a> {
    /// Where the data are.
    pub source: Source<'a>,
    /// The file's name.
    pub filename: Option<&'a str>,
}

/// Where data are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source<'a> {
    /// In the request.
    Data {
        /// `image/png`, in lower case.
        mime: Cow<'a, str>,
        /// Base64, standard alphabet, not checked.
        base64: &'a str,
    },
    /// On the web, `http` or `https`.
    Url(&'a str),
    /// Uploaded to `OpenAI` before.
    Id(&'a str),
}

/// A tool call of the model.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// As the caller has it; made from the message's index for the form before `tools`.
    pub id: Cow<'a, str>,
    /// Of the function.
    pub name: Cow<'a, str>,
    /// JSON as text, may be neither.
    pub arguments: Cow<'a, str>,
    /// `extra_content.google.thought_signature` of the call.
    pub thought_signature: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// `None` when it has not the shape of a call.
    pub(super) fn read(call: &'a Value) -> Option<Self> {
        let id = Cow::Borrowed(call.get("id")?.as_str()?);
        let thought_signature = google_signature(call);
        if let Some(custom) = call.get("custom").filter(|custom| custom.is_object()) {
            let input = custom.get("input").and_then(Value::as_str).unwrap_or_default();
            let name = Cow::Borrowed(custom.get("name")?.as_str()?);
            let arguments = Cow::Owned(json!({ "input": input }).to_string());
            return Some(Self { id, name, arguments, thought_signature });
        }
        let function = call.get("function")?;
        let (name, arguments) = named_arguments(function)?;
        Some(Self { id, name, arguments, thought_signature })
    }

    pub(super) fn legacy(function: &'a Value, id: String) -> Option<Self> {
        let (name, arguments) = named_arguments(function)?;
        Some(Self { id: Cow::Owned(id), name, arguments, thought_signature: None })
    }

    /// The arguments as an object, long numbers marked for [`numbers::write`]: empty ones are `{}`; what is no JSON object is kept as text under `arguments`,
    /// since a protocol that knows only objects has no other place for it.
    pub fn object(&self) -> Map<String, Value> {
        if self.arguments.trim().is_empty() {
            return Map::new();
        }
        match numbers::read(&self.arguments) {
            Ok(Value::Object(object)) => object,
            Ok(Value::Null) => Map::new(),
            _ => Map::from_iter([("arguments".to_owned(), Value::from(&*self.arguments))]),
        }
    }
}

fn named_arguments(function: &Value) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    let name = Cow::Borrowed(function.get("name")?.as_str()?);
    let arguments = match function.get("arguments") {
        None | Some(Value::Null) => Cow::Borrowed(""),
        Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
        // Some servers give, and some callers repeat, the object itself.
        Some(other) => Cow::Owned(other.to_string()),
    };
    Some((name, arguments))
}

fn google_signature(of: &Value) -> Option<&str> {
    of.get("extra_content")?.get("google")?.get("thought_signature")?.as_str().filter(|signature| !signature.is_empty())
}

/// What a tool answered.
#[derive(Debug, Clone)]
pub struct ToolResult<'a> {
    /// Id of the call, as the caller has it.
    pub id: Cow<'a, str>,
    /// Name of the called function.
    pub name: Cow<'a, str>,
    /// Texts and, from callers who go beyond `OpenAI`'s shape, images and files.
    pub parts: Vec<Part<'a>>,
}

impl ToolResult<'_> {
    /// Its texts, joined.
    pub fn text(&self) -> Cow<'_, str> {
        let mut texts = self.parts.iter().filter_map(|part| match part.content {
            Content::Text(text) | Content::Refusal(text) => Some(text),
            _ => None,
        });
        match (texts.next(), texts.next()) {
            (None, _) => Cow::Borrowed(""),
            (Some(one), None) => Cow::Borrowed(one),
            (Some(first), Some(second)) => Cow::Owned([first, second].into_iter().chain(texts).collect()),
        }
    }
}

/// What the model thought, with what proves that it did. Each provider knows its own proofs only.
#[derive(Debug, Clone)]
pub struct Reasoning<'a> {
    /// `reasoning_content`, or `reasoning`: for reading.
    pub text: Option<&'a str>,
    /// `thinking_blocks` of Anthropic that are whole: `thinking` with a signature, `redacted_thinking` with data.
    pub blocks: Vec<&'a Value>,
    /// `extra_content.google.thought_signature` of the message: belongs to its text.
    pub thought_signature: Option<&'a str>,
    /// `extra_content.google.parts` of the message: which parts a Gemini made it of, where that has to be told.
    pub google_parts: &'a [Value],
}

impl<'a> Reasoning<'a> {
    /// Of an assistant's message; `None` when it tells nothing.
    pub(super) fn of(fields: &'a Map<String, Value>) -> Option<Self> {
        let text = ["reasoning_content", "reasoning"].iter().find_map(|name| fields.get(*name)?.as_str());
        let text = text.filter(|text| !text.is_empty());
        let blocks = fields.get("thinking_blocks").and_then(Value::as_array);
        let blocks: Vec<_> = blocks.into_iter().flatten().filter(|block| is_signed(block)).collect();
        let google = fields.get("extra_content").and_then(|extra| extra.get("google"));
        let thought_signature = google.and_then(|google| google.get("thought_signature")?.as_str());
        let thought_signature = thought_signature.filter(|signature| !signature.is_empty());
        let google_parts = google.and_then(|google| google.get("parts")?.as_array());
        let google_parts = google_parts.map_or(&[][..], Vec::as_slice);
        let proven = !blocks.is_empty() || thought_signature.is_some() || !google_parts.is_empty();
        (proven || text.is_some()).then_some(Self { text, blocks, thought_signature, google_parts })
    }
}

fn is_signed(block: &Value) -> bool {
    let text = |name: &str| block.get(name).and_then(Value::as_str);
    match text("type") {
        Some("thinking") => text("thinking").is_some() && text("signature").is_some_and(|text| !text.is_empty()),
        Some("redacted_thinking") => text("data").is_some_and(|text| !text.is_empty()),
        _ => false,
    }
}

/// The parts of a message's `content`: a text, a list, or nothing.
pub(super) fn read<'a>(place: Place, content: Option<&'a Value>, cache: Option<&'a Value>) -> Result<Vec<Part<'a>>> {
    let mut parts = match content {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => vec![Part { place, cache: None, content: Content::Text(text) }],
        Some(Value::Array(list)) => {
            let mut parts = Vec::with_capacity(list.len());
            for (index, part) in list.iter().enumerate() {
                parts.extend(one(Place { part: Some(index), ..place }, part)?);
            }
            parts
        }
        Some(_) => return Err(place.error("`content` must be a string, a list of parts or null")),
    };
    if let Some(last) = parts.last_mut() {
        last.cache = last.cache.or(cache);
    }
    Ok(parts)
}

/// One part; `None` for one that is only for its maker.
fn one(place: Place, part: &Value) -> Result<Option<Part<'_>>> {
    if let Value::String(text) = part {
        return Ok(Some(Part { place, cache: None, content: Content::Text(text) }));
    }
    let kind = part.get("type").and_then(Value::as_str);
    let kind = kind.ok_or_else(|| place.error("a part must be an object with `type`, a string"))?;
    let text = |name: &str| {
        let text = part.get(name).and_then(Value::as_str);
        text.ok_or_else(|| place.error(format!("a part of type `{kind}` needs `{name}`, a string")))
    };
    let content = match kind {
        "text" | "input_text" | "output_text" => Content::Text(text("text")?),
        "refusal" => Content::Refusal(text("refusal")?),
        "image_url" | "input_image" => Content::Image(image(place, part)?),
        "input_audio" => Content::Audio(audio(place, part)?),
        "file" | "input_file" => Content::File(file(place, part)?),
        // Of Mistral's and Anthropic's answers, repeated as they came: foreign to everybody else.
        "thinking" | "redacted_thinking" | "reference" => return Ok(None),
        other => {
            return Err(place.error(format!(
                "the type of a part must be text, image_url, input_audio, file or refusal, found `{}`",
                shortened(other)
            )));
        }
    };
    Ok(Some(Part { place, cache: part.get("cache_control").filter(|mark| mark.is_object()), content }))
}

fn image(place: Place, part: &Value) -> Result<Media<'_>> {
    let given = part.get("image_url");
    let url = given.and_then(|given| given.as_str().or_else(|| given.get("url")?.as_str()));
    let url = url.ok_or_else(|| place.error("an image needs `image_url.url`, a string"))?;
    let source = located(url).ok_or_else(|| {
        place
            .error("the URL of an image must begin with https:// or be data:image/...;base64,... (others are not read)")
    })?;
    Ok(Media { source, filename: None })
}

fn audio(place: Place, part: &Value) -> Result<Media<'_>> {
    let field = |name: &str| part.get("input_audio").and_then(|audio| audio.get(name)?.as_str());
    let data = field("data").ok_or_else(|| place.error("audio needs `input_audio.data`, base64"))?;
    let source = match located(data) {
        Some(source) => source,
        None => Source::Data {
            mime: format!("audio/{}", field("format").unwrap_or("wav").to_ascii_lowercase()).into(),
            base64: data,
        },
    };
    Ok(Media { source, filename: None })
}

fn file(place: Place, part: &Value) -> Result<Media<'_>> {
    let inner = part.get("file").filter(|file| file.is_object()).unwrap_or(part);
    let field = |name: &str| inner.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let filename = field("filename");
    let source = if let Some(data) = field("file_data") {
        // Some callers leave the head of the data URL out.
        located(data).unwrap_or_else(|| Source::Data { mime: guessed(filename).into(), base64: data })
    } else if let Some(url) = field("file_url") {
        located(url).ok_or_else(|| place.error("`file_url` must begin with https://"))?
    } else if let Some(id) = field("file_id") {
        located(id).unwrap_or(Source::Id(id))
    } else {
        return Err(place.error("a file needs `file.file_data`, a data URL, or `file.file_id`"));
    };
    Ok(Media { source, filename })
}

fn guessed(filename: Option<&str>) -> &'static str {
    let ending = filename.and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some("txt" | "md" | "csv") => "text/plain",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        _ => "application/pdf",
    }
}

/// A data URL in base64, or a web address; `None` for anything else.
fn located(text: &str) -> Option<Source<'_>> {
    let starts = |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    if starts("https://") || starts("http://") {
        return Some(Source::Url(text));
    }
    if !starts("data:") {
        return None;
    }
    let (head, base64) = text["data:".len()..].split_once(',')?;
    let mut fields = head.split(';').map(str::trim);
    let mime = fields.next()?;
    if !fields.any(|field| field.eq_ignore_ascii_case("base64")) {
        return None;
    }
    let mime = match mime {
        "" => Cow::Borrowed("text/plain"),
        // Not registered, and refused by those who look.
        mime if mime.eq_ignore_ascii_case("image/jpg") => Cow::Borrowed("image/jpeg"),
        mime if mime.bytes().any(|byte| byte.is_ascii_uppercase()) => Cow::Owned(mime.to_ascii_lowercase()),
        mime => Cow::Borrowed(mime),
    };
    Some(Source::Data { mime, base64 })
}

/// The beginning of a text of the caller's, for a message.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
