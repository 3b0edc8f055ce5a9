//! The conversation as `contents`.
//!
//! What `Google` insists on: turns of `user` and `model`, none of them empty; the answers to all calls of a turn, and
//! only those, in the turn after it; a call after something of the user's; the user has the last word (from 3.5 on);
//! and from 3 on the signature of a step's first call.

use serde_json::{Map, Value, json};

use super::super::conversation::{Call, Content, Conversation, Media, Part, Place, Role, Source, Turn};
use super::model::Model;
use super::runs::{self, Kind};
use super::signed;
use super::tools::fitting;
use crate::error::Result;

/// What stands where the user would have to say something and has not.
const NOTHING_SAID: &str = " ";
/// The user's turn before a conversation that begins, and after one that ends, with the model.
const BEGIN: &str = "Begin.";
const CONTINUE: &str = "Continue.";

/// `contents`; the system's texts are not in it.
pub(super) fn contents(conversation: &Conversation<'_>, model: &Model) -> Result<Vec<Value>> {
    let mut contents: Vec<(Role, Vec<Value>)> = Vec::with_capacity(conversation.turns.len() + 2);
    for turn in &conversation.turns {
        let mut parts = parts(turn, model)?;
        if parts.is_empty() {
            if turn.role == Role::Assistant {
                continue;
            }
            parts.push(text(NOTHING_SAID));
        }
        // A turn of the model's that says nothing leaves two of the user's side by side.
        match contents.last_mut() {
            Some((role, before)) if *role == turn.role => before.extend(parts),
            _ => contents.push((turn.role, parts)),
        }
    }
    if contents.first().is_none_or(|(role, _)| *role == Role::Assistant) {
        contents.insert(0, (Role::User, vec![text(BEGIN)]));
    } else if contents.len() == 1 {
        return Ok(shown(contents));
    }
    if contents.last().is_some_and(|(role, _)| *role == Role::Assistant) {
        contents.push((Role::User, vec![text(CONTINUE)]));
    }
    Ok(shown(contents))
}

fn shown(contents: Vec<(Role, Vec<Value>)>) -> Vec<Value> {
    let name = |role| if role == Role::User { "user" } else { "model" };
    contents.into_iter().map(|(role, parts)| json!({"role": name(role), "parts": parts})).collect()
}

/// A part of text.
pub(super) fn text(text: &str) -> Value {
    json!({ "text": text })
}

fn parts(turn: &Turn<'_>, model: &Model) -> Result<Vec<Value>> {
    let mut made = Vec::with_capacity(turn.parts.len());
    // What tools answered beside text; after all of their answers.
    let mut shown_by_tools = Vec::new();
    let mut calls = Calls { model, called: false };
    for message in turn.parts.chunk_by(|one, other| one.place.message == other.place.message) {
        if turn.role == Role::Assistant
            && let Some(parts) = as_made(message, &mut calls)
        {
            made.extend(parts);
            continue;
        }
        // Goes to the message's text, else to its call.
        let mut of_message: Option<&str> = None;
        for part in message {
            if !matches!(part.content, Content::Result(_)) {
                made.append(&mut shown_by_tools);
            }
            match &part.content {
                Content::Text("") | Content::Refusal("") => {}
                Content::Text(said) | Content::Refusal(said) => {
                    let signature = of_message.take().filter(|_| turn.role == Role::Assistant);
                    made.push(with(text(said), signature));
                }
                Content::Image(media) | Content::Audio(media) | Content::File(media) => {
                    made.push(blob(part.place, media, matches!(part.content, Content::Image(_)))?);
                }
                Content::Reasoning(reasoning) => of_message = reasoning.thought_signature,
                Content::Call(call) => made.push(calls.shown(call, || of_message.take())),
                Content::Result(result) => {
                    let response = json!({"result": result.text()});
                    let name = fitting(&result.name);
                    made.push(json!({"functionResponse": {"id": result.id, "name": name, "response": response}}));
                    for part in &result.parts {
                        if let Content::Image(media) | Content::Audio(media) | Content::File(media) = &part.content {
                            let is_image = matches!(part.content, Content::Image(_));
                            shown_by_tools.push(blob(part.place, media, is_image)?);
                        }
                    }
                }
            }
        }
    }
    made.append(&mut shown_by_tools);
    Ok(made)
}

/// A message of a Gemini in the parts that it was made of, where it tells them and still is what they were.
fn as_made(message: &[Part<'_>], calls: &mut Calls<'_>) -> Option<Vec<Value>> {
    let reasoning = message.iter().find_map(|part| match &part.content {
        Content::Reasoning(reasoning) if !reasoning.google_parts.is_empty() => Some(reasoning),
        _ => None,
    })?;
    let mut called = message.iter().filter_map(|part| match &part.content {
        Content::Call(call) => Some(call),
        _ => None,
    });
    let mut parts = Vec::with_capacity(message.len());
    for (run, said) in runs::of(reasoning.google_parts, message, reasoning.text.unwrap_or_default())? {
        let signature = run.signature.as_deref();
        match run.kind {
            Kind::Call => parts.extend(called.by_ref().take(run.count).map(|call| calls.shown(call, || None))),
            Kind::Text => parts.push(with(text(&said), signature)),
            Kind::Thought if signature.is_some() => {
                parts.push(with(json!({"text": said, "thought": true}), signature));
            }
            Kind::Thought => {}
        }
    }
    Some(parts)
}

fn with(mut part: Value, signature: Option<&str>) -> Value {
    if let Some(signature) = signature {
        part["thoughtSignature"] = signature.into();
    }
    part
}

/// The calls of a turn.
struct Calls<'a> {
    model: &'a Model,
    /// There was one.
    called: bool,
}

impl Calls<'_> {
    /// `other`: a signature that may be its own, where it has none.
    fn shown<'s>(&mut self, call: &Call<'_>, other: impl FnOnce() -> Option<&'s str>) -> Value {
        let signature = signed::of(call).or_else(|| other().map(str::to_owned));
        let required = self.model.third && !std::mem::replace(&mut self.called, true);
        let signature = signature.or_else(|| required.then(|| signed::NOT_OURS.to_owned()));
        let shown = json!({"functionCall": {"id": call.id, "name": fitting(&call.name), "args": call.object()}});
        with(shown, signature.as_deref())
    }
}

/// `inlineData` or `fileData`. `Google` fetches public addresses itself.
fn blob(place: Place, media: &Media<'_>, is_image: bool) -> Result<Value> {
    Ok(match &media.source {
        Source::Data { mime, base64 } => {
            let data: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            if data.is_empty() {
                return Err(place.error("there are no data in it"));
            }
            json!({"inlineData": {"mimeType": mime, "data": data}})
        }
        Source::Url(url) => {
            let mut file = Map::new();
            let mime = guessed(url).or_else(|| (is_image && !is_uploaded(url)).then_some("image/jpeg"));
            if let Some(mime) = mime {
                file.insert("mimeType".into(), mime.into());
            }
            file.insert("fileUri".into(), (*url).into());
            json!({ "fileData": file })
        }
        Source::Id(id) if id.starts_with("files/") => {
            json!({"fileData": {"fileUri": format!("https://{}/v1beta/{id}", super::HOST)}})
        }
        Source::Id(_) => {
            return Err(place.error(
                "Gemini does not know files uploaded elsewhere: give `file_data`, a data URL, or the URI of a file uploaded to Gemini",
            ));
        }
    })
}

/// Whether `Google` has the file, and knows its type.
fn is_uploaded(url: &str) -> bool {
    url.strip_prefix("https://").is_some_and(|rest| rest.starts_with(super::HOST))
}

/// The type of what an address names, by its ending.
fn guessed(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, ending) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        _ => return None,
    })
}
