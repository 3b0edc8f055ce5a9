//! What one answer, or one event of a stream, says: candidates, their parts, usage, why it ended.
//!
//! Read from any JSON: a field that is missing, new or of another type says nothing and is never an error.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use serde_json::{Map, Value, json};

use super::super::numbers;
use super::super::request::Reading;
use super::super::types::Usage;
use super::fields::text;
use super::runs::{Kind, Runs};
use super::signed;
use crate::pricing::ServiceTier;

/// What a candidate's parts say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    /// The answer's text.
    pub text: String,
    /// Summaries of thoughts.
    pub reasoning: String,
    /// Functions to call, in their order.
    pub calls: Vec<Call>,
    /// Pictures and sounds made, as data URLs.
    pub media: Vec<String>,
}

/// One function to call.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    pub id: String,
    pub name: String,
    /// JSON of an object.
    pub arguments: String,
    pub signature: Option<String>,
}

impl Said {
    /// Of a candidate; functions get the caller's names, and their signatures are remembered. `ids` are those of the
    /// calls made so far, so that each call has its own; `runs` the message's parts so far, to which these are added.
    pub(super) fn by(candidate: &Value, reading: &Reading, ids: &mut HashSet<String>, runs: &mut Runs) -> Self {
        let mut said = Self::default();
        let parts = candidate.get("content").and_then(|content| content.get("parts")).and_then(Value::as_array);
        for part in parts.into_iter().flatten() {
            said.add(part, ids, runs);
        }
        for call in &mut said.calls {
            if let Some((_, name)) = reading.renamed.iter().find(|(sent, _)| *sent == call.name) {
                call.name.clone_from(name);
            }
            if let Some(signature) = &call.signature {
                // In the form before `tools` a call has no id that could come back.
                let id = if reading.legacy_functions { "" } else { &call.id };
                signed::remember(id, &call.name, &call.arguments, signature);
            }
        }
        said
    }

    fn add(&mut self, part: &Value, ids: &mut HashSet<String>, runs: &mut Runs) {
        let signature = text(part, "thoughtSignature").filter(|signature| !signature.is_empty()).map(str::to_owned);
        if let Some(call) = part.get("functionCall").filter(|call| call.is_object()) {
            let Some(name) = text(call, "name").filter(|name| !name.is_empty()) else { return };
            let told = text(call, "id").filter(|id| !id.is_empty() && ids.insert((*id).to_owned()));
            let arguments = call.get("args").filter(|args| args.is_object());
            runs.call(signature.as_deref());
            self.calls.push(Call {
                id: told.map_or_else(|| format!("call_{}", &unique()[..24]), str::to_owned),
                name: name.to_owned(),
                arguments: arguments.map_or_else(|| "{}".to_owned(), numbers::write),
                signature,
            });
            return;
        }
        let thought = part.get("thought").and_then(Value::as_bool) == Some(true);
        let piece = text(part, "text");
        if let Some(piece) = piece {
            if thought { &mut self.reasoning } else { &mut self.text }.push_str(piece);
        }
        if piece.is_some() || part.as_object().is_some_and(|part| part.len() == 1) {
            let kind = if thought { Kind::Thought } else { Kind::Text };
            runs.add(kind, piece.map_or(0, |piece| piece.chars().count()), signature);
        }
        if let Some(blob) = part.get("inlineData").filter(|_| !thought)
            && let (Some(kind), Some(data)) = (text(blob, "mimeType"), text(blob, "data"))
        {
            self.media.push(format!("data:{kind};base64,{data}"));
        }
    }

    /// Whether there is anything of the answer in it.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.reasoning.is_empty() && self.calls.is_empty() && self.media.is_empty()
    }

    /// Characters made: text, thoughts, names and arguments.
    pub(super) fn chars(&self) -> usize {
        let calls: usize =
            self.calls.iter().map(|call| call.name.chars().count() + call.arguments.chars().count()).sum();
        self.text.chars().count() + self.reasoning.chars().count() + calls
    }

    /// Adds what it says to a message or delta in `OpenAI`'s shape, but for the content and `extra_content`. `first` is the index of its
    /// first call among those of a stream; a complete message has none. `legacy`: as the one `function_call`.
    pub(super) fn fill(&self, message: &mut Map<String, Value>, first: Option<usize>, legacy: bool) {
        if !self.reasoning.is_empty() {
            message.insert("reasoning_content".into(), self.reasoning.as_str().into());
        }
        if !self.media.is_empty() {
            let shown = |url: &String| json!({"type": "image_url", "image_url": {"url": url}});
            message.insert("images".into(), self.media.iter().map(shown).collect());
        }
        if legacy {
            // The old form has room for one call, and none for its signature.
            if let Some(call) = self.calls.first().filter(|_| first.unwrap_or(0) == 0) {
                message.insert("function_call".into(), json!({"name": call.name, "arguments": call.arguments}));
            }
        } else if !self.calls.is_empty() {
            let calls = self.calls.iter().enumerate().map(|(at, call)| call.shown(first.map(|first| first + at)));
            message.insert("tool_calls".into(), calls.collect());
        }
    }
}

impl Call {
    fn shown(&self, index: Option<usize>) -> Value {
        let mut call = Map::new();
        if let Some(index) = index {
            call.insert("index".into(), index.into());
        }
        call.insert("id".into(), self.id.as_str().into());
        call.insert("type".into(), "function".into());
        call.insert("function".into(), json!({"name": self.name, "arguments": self.arguments}));
        if let Some(signature) = &self.signature {
            // The field in which a signature travels through the caller's hands and back.
            call.insert("extra_content".into(), json!({"google": {"thought_signature": signature}}));
        }
        call.into()
    }
}

/// `OpenAI`'s reason for `Google`'s, and whether the latter says more than that.
pub(super) fn finish_reason(native: &str, calls: bool, legacy: bool) -> (&'static str, bool) {
    let (reason, more) = match native {
        "STOP" => ("stop", false),
        "MAX_TOKENS" => ("length", false),
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "MODEL_ARMOR" => {
            ("content_filter", true)
        }
        image if image.starts_with("IMAGE_") => ("content_filter", true),
        _ => ("stop", true),
    };
    match (calls, legacy) {
        (true, false) => ("tool_calls", more),
        (true, true) => ("function_call", more),
        (false, _) => (reason, more),
    }
}

/// Why a candidate ended; `None` when it has not.
pub(super) fn ended(candidate: &Value) -> Option<&str> {
    text(candidate, "finishReason").filter(|reason| !reason.is_empty() && *reason != "FINISH_REASON_UNSPECIFIED")
}

/// Why the prompt was refused.
pub(super) fn blocked(body: &Value) -> Option<&str> {
    text(body.get("promptFeedback")?, "blockReason")
        .filter(|reason| !reason.is_empty() && *reason != "BLOCKED_REASON_UNSPECIFIED")
}

/// A choice's reason as fields: `Google`'s own is kept beside it where it says more.
pub(super) fn put_reason(choice: &mut Map<String, Value>, native: &str, calls: bool, legacy: bool) {
    let (reason, more) = finish_reason(native, calls, legacy);
    choice.insert("finish_reason".into(), reason.into());
    if more {
        choice.insert("native_finish_reason".into(), native.into());
    }
}

/// Log probabilities in `OpenAI`'s shape; `null` when there are none.
pub(super) fn logprobs(candidate: &Value) -> Value {
    let Some(result) = candidate.get("logprobsResult") else { return Value::Null };
    let list = |name| result.get(name).and_then(Value::as_array);
    let Some(chosen) = list("chosenCandidates") else { return Value::Null };
    let token = |candidate: &Value| {
        let token = text(candidate, "token").unwrap_or_default();
        let logprob = candidate.get("logProbability").filter(|number| number.is_number());
        json!({"token": token, "logprob": logprob.cloned().unwrap_or_else(|| 0.0.into()), "bytes": token.as_bytes()})
    };
    let tops = list("topCandidates");
    let content = chosen.iter().enumerate().map(|(at, candidate)| {
        let top = tops.and_then(|tops| tops.get(at)?.get("candidates")?.as_array());
        let mut shown = token(candidate);
        shown["top_logprobs"] = top.into_iter().flatten().map(token).collect();
        shown
    });
    json!({"content": content.collect::<Vec<_>>(), "refusal": null})
}

/// Tokens, and the same in `OpenAI`'s shape.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub usage: Usage,
    pub shown: Value,
}

/// The usage of an answer or event, where it tells any.
///
/// `promptTokenCount` has the cached tokens in it, `candidatesTokenCount` leaves the thoughts out.
pub(super) fn usage(body: &Value, reading: &Reading) -> Option<Told> {
    let told = body.get("usageMetadata")?;
    let count = |name: &str| told.get(name).and_then(whole);
    let known = ["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount"];
    if known.iter().all(|name| count(name).is_none()) {
        return None;
    }
    let of = |name: &str| count(name).unwrap_or(0);
    let audio = |name: &str| {
        let details = told.get(name).and_then(Value::as_array).into_iter().flatten();
        let audio = details.filter(|detail| text(detail, "modality") == Some("AUDIO"));
        audio.filter_map(|detail| whole(detail.get("tokenCount")?)).fold(0, u64::saturating_add)
    };
    let prompt = of("promptTokenCount").saturating_add(of("toolUsePromptTokenCount"));
    let thoughts = of("thoughtsTokenCount");
    let completion = of("candidatesTokenCount").saturating_add(thoughts);
    let usage = Usage {
        prompt_tokens: prompt,
        completion_tokens: completion,
        cached_tokens: of("cachedContentTokenCount"),
        reasoning_tokens: thoughts,
        prompt_audio_tokens: audio("promptTokensDetails"),
        completion_audio_tokens: audio("candidatesTokensDetails"),
        tier: tier(told).unwrap_or(reading.tier),
        ..Usage::default()
    }
    .bounded();
    let shown = json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": count("totalTokenCount").unwrap_or_else(|| prompt.saturating_add(completion)),
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": usage.prompt_audio_tokens},
        "completion_tokens_details": {"reasoning_tokens": thoughts, "audio_tokens": usage.completion_audio_tokens},
    });
    Some(Told { usage, shown })
}

/// The class of service that was used, as `Google` tells it in one of two fields.
fn tier(told: &Value) -> Option<ServiceTier> {
    let name = text(told, "serviceTier").or_else(|| text(told, "trafficType"))?.to_ascii_lowercase();
    ServiceTier::named(name.rsplit('_').next().unwrap_or(&name))
}

/// A whole number, also one written as text or with a fraction of zero, as 64-bit numbers are in `Google`'s JSON.
pub(super) fn whole(value: &Value) -> Option<u64> {
    let count = value.as_u64().or_else(|| value.as_str()?.parse().ok()).or_else(|| {
        let number = value.as_f64()?;
        (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
    });
    count.filter(|count| *count <= Usage::MOST)
}

/// 32 hexadecimal digits that nobody else has.
pub(super) fn unique() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}
