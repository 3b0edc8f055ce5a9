//! A complete answer of `generateContent`, told in `OpenAI`'s shape.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::numbers;
use super::super::request::Reading;
use super::super::types::{Answer, Completion, Endpoint};
use super::errors;
use super::fields::text;
use super::runs::Runs;
use super::said::{Said, blocked, ended, logprobs, put_reason, unique, usage};
use crate::error::Result;
use crate::pricing::ServiceTier;

/// A complete answer in `OpenAI`'s shape.
///
/// # Errors
/// [`Kind::Protocol`](crate::Kind::Protocol) when it is not JSON or answers nothing;
/// [`Kind::Status`](crate::Kind::Status) when status 200 carries an error.
pub fn read_answer(endpoint: &Endpoint, reading: &Reading, mut answer: Answer) -> Result<Completion> {
    let body: Value = numbers::read_within(&answer.body, "args").map_err(|_| {
        errors::odd(endpoint, &format!("answered with something that is not JSON ({} bytes)", answer.body.len()))
    })?;
    if let Some(error) = errors::told(&body) {
        return Err(errors::inside(endpoint, error, &answer.headers));
    }
    if !body.is_object() {
        return Err(errors::odd(endpoint, "answered with something that is not a JSON object"));
    }
    let choices = choices(&body, reading);
    if choices.is_empty() {
        return Err(errors::odd(
            endpoint,
            "answered without a candidate, and without saying that it blocked the prompt",
        ));
    }
    let told = usage(&body, &Reading { tier: used(&answer).unwrap_or(reading.tier), ..Reading::default() });
    let mut shown = head(&body, endpoint, "chat.completion");
    let id = shown.get("id").and_then(Value::as_str).map(Into::into);
    shown.insert("choices".into(), choices.into());
    if let Some(told) = &told {
        shown.insert("usage".into(), told.shown.clone());
    }
    answer.body = Bytes::from(Value::Object(shown).to_string());
    // It was the length of another body.
    answer.headers.retain(|(name, _)| name != "content-length");
    Ok(Completion { answer, usage: told.map(|told| told.usage), id })
}

/// The class of service, where a header tells the one that was used.
fn used(answer: &Answer) -> Option<ServiceTier> {
    let (_, name) = answer.headers.iter().find(|(name, _)| name == "x-gemini-service-tier")?;
    ServiceTier::named(&name.to_ascii_lowercase())
}

/// What every answer and every chunk begins with.
pub(super) fn head(body: &Value, endpoint: &Endpoint, object: &str) -> Map<String, Value> {
    let id = text(body, "responseId").filter(|id| !id.is_empty());
    let model = text(body, "modelVersion").filter(|model| !model.is_empty());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut head = Map::new();
    head.insert("id".into(), id.map_or_else(|| format!("chatcmpl-{}", unique()), str::to_owned).into());
    head.insert("object".into(), object.into());
    head.insert("created".into(), now.into());
    head.insert("model".into(), model.unwrap_or(&endpoint.model).into());
    head
}

fn choices(body: &Value, reading: &Reading) -> Vec<Value> {
    let candidates = body.get("candidates").and_then(Value::as_array);
    let mut choices: Vec<Value> = candidates
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(at, candidate)| {
            let mut runs = Runs::default();
            let said = Said::by(candidate, reading, &mut HashSet::new(), &mut runs);
            let index = candidate.get("index").and_then(Value::as_u64).unwrap_or(at as u64);
            let mut choice = choice(index, &said, ended(candidate).unwrap_or("STOP"), logprobs(candidate), reading);
            if let Some(extra) = runs.extra(reading.legacy_functions) {
                choice["message"]["extra_content"] = extra;
            }
            choice
        })
        .collect();
    if choices.is_empty()
        && let Some(reason) = blocked(body)
    {
        let mut choice = choice(0, &Said::default(), reason, Value::Null, reading);
        choice["message"]["content"] = Value::Null;
        choice["finish_reason"] = "content_filter".into();
        choice["native_finish_reason"] = reason.into();
        choices.push(choice);
    }
    choices
}

fn choice(index: u64, said: &Said, native: &str, logprobs: Value, reading: &Reading) -> Value {
    let mut message = Map::new();
    message.insert("role".into(), "assistant".into());
    let content = (!said.text.is_empty() || said.calls.is_empty()).then_some(said.text.as_str());
    message.insert("content".into(), content.into());
    message.insert("refusal".into(), Value::Null);
    said.fill(&mut message, None, reading.legacy_functions);
    let mut choice = Map::new();
    choice.insert("index".into(), index.into());
    put_reason(&mut choice, native, !said.calls.is_empty(), reading.legacy_functions);
    choice.insert("logprobs".into(), logprobs);
    choice.insert("message".into(), json!(message));
    choice.into()
}
