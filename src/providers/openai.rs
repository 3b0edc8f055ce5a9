//! The dialect of `OpenAI` and everything compatible: chat completions, their streams, embeddings.
//!
//! Pure functions: a request is made from the caller's bytes, an answer is looked at but handed on unchanged.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::ExposeSecret;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::Dialect;
use super::body::set_model;
use super::http::refused;
use super::prefix::{bearer, secret_value};
use super::request::{ChatRequest, Prepared, Reading};
use super::secrets::Secrets;
use super::types::{Answer, Chunk, Completion, Embedded, Endpoint, Outgoing, ReadStream, Usage};
use crate::error::{Error, Kind, Result};

pub(super) const CHAT: &str = "chat/completions";
pub(super) const EMBEDDINGS: &str = "embeddings";

/// The request for one chat completion. `body` goes out as it is, but for the model it names.
pub fn chat(endpoint: &Endpoint, request: &ChatRequest, stream: bool) -> Result<Prepared> {
    let outgoing = Outgoing {
        url: endpoint.url(CHAT),
        headers: headers(endpoint, if stream { "text/event-stream" } else { "application/json" })?,
        body: set_model(request.bytes(), &endpoint.model)?,
    };
    Ok(Prepared {
        outgoing,
        reading: Reading { usage_asked: true, ..Reading::default() },
        dropped: Vec::new(),
        times: 1,
    })
}

/// The request for the embeddings of `texts`.
pub fn embeddings(endpoint: &Endpoint, texts: &[&str], dimensions: Option<usize>, base64: bool) -> Result<Outgoing> {
    #[derive(Serialize)]
    struct Body<'a> {
        model: &'a str,
        input: &'a [&'a str],
        #[serde(skip_serializing_if = "Option::is_none")]
        dimensions: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding_format: Option<&'a str>,
    }
    let body = Body { model: &endpoint.model, input: texts, dimensions, encoding_format: base64.then_some("base64") };
    let body = serde_json::to_vec(&body).map_err(|e| Error::value(format!("the embedding request: {e}")))?;
    Ok(Outgoing { url: endpoint.url(EMBEDDINGS), headers: headers(endpoint, "application/json")?, body: body.into() })
}

fn headers(endpoint: &Endpoint, accept: &'static str) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(4 + endpoint.headers.len());
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match &endpoint.key {
        Some(key) if endpoint.dialect == Dialect::Azure => {
            headers.insert("api-key", secret_value(key.expose_secret())?);
        }
        Some(key) => {
            headers.insert(AUTHORIZATION, bearer(key)?);
        }
        None => {}
    }
    headers.extend(endpoint.headers.clone());
    Ok(headers)
}

/// What we need to know of an answer or an event; everything else passes by unread.
#[derive(Deserialize, Default)]
struct Glance {
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    choices: Option<Vec<GlanceChoice>>,
    #[serde(default)]
    usage: Option<RawUsage>,
}

#[derive(Deserialize)]
struct GlanceChoice {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    finish_reason: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Glance {
    /// `None` when `body` is not a JSON object; one of an unexpected shape says nothing, which is not an error.
    fn at(body: &[u8]) -> Option<Self> {
        // serde would read a list as the fields in their order.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        if let Ok(glance) = serde_json::from_slice(body) {
            return Some(glance);
        }
        let value: Value = serde_json::from_slice(body).ok()?;
        let part = |name: &str| value.get(name).filter(|part| !part.is_null()).cloned();
        Some(Self {
            error: part("error"),
            choices: part("choices").and_then(|part| serde_json::from_value(part).ok()),
            usage: part("usage").and_then(|part| serde_json::from_value(part).ok()),
        })
    }

    fn usage(&self) -> Option<Usage> {
        let raw = self.usage.as_ref()?;
        let prompt = raw.prompt_tokens_details.as_ref();
        Some(Usage {
            prompt_tokens: raw.prompt_tokens?,
            completion_tokens: raw.completion_tokens.unwrap_or(0),
            cached_tokens: prompt.and_then(|details| details.cached_tokens).unwrap_or(0),
            cache_write_tokens: prompt.and_then(|details| details.cache_write_tokens).unwrap_or(0),
            reasoning_tokens: raw
                .completion_tokens_details
                .as_ref()
                .and_then(|details| details.reasoning_tokens)
                .unwrap_or(0),
            ..Usage::default()
        })
    }
}

/// The usage of a complete answer.
///
/// # Errors
/// [`Kind::Protocol`] when it is not JSON; [`Kind::Status`] when status 200 carries an error instead of choices.
pub fn read_answer(endpoint: &Endpoint, _reading: &Reading, answer: Answer) -> Result<Completion> {
    let usage = usage_of(endpoint, &answer)?;
    Ok(Completion { answer, usage })
}

fn usage_of(endpoint: &Endpoint, answer: &Answer) -> Result<Option<Usage>> {
    let glance = Glance::at(&answer.body).ok_or_else(|| {
        Error::new(
            Kind::Protocol,
            format!(
                "{} answered with something that is not a JSON object ({} bytes)",
                endpoint.host(),
                answer.body.len()
            ),
        )
    })?;
    match &glance.error {
        Some(error) if glance.choices.as_ref().is_none_or(Vec::is_empty) => {
            Err(inner_error(endpoint, error, &answer.headers, &answer.body))
        }
        _ => Ok(glance.usage()),
    }
}

/// Reads one stream: each event is a chunk.
#[derive(Debug, Default)]
pub struct Reader {
    /// The choices seen, and whether they have said why they ended.
    choices: BTreeMap<u64, bool>,
    usage: Option<Usage>,
}

/// A reader for one stream.
pub fn reader(_reading: &Reading) -> Box<dyn ReadStream> {
    Box::new(Reader::default())
}

impl ReadStream for Reader {
    fn read(&mut self, endpoint: &Endpoint, data: Bytes, out: &mut Vec<Chunk>) -> Result<ControlFlow<()>> {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(ControlFlow::Break(()));
        }
        let glance = Glance::at(&data).ok_or_else(|| {
            Error::new(
                Kind::Protocol,
                format!("{} sent an event that is not a JSON object ({} bytes)", endpoint.host(), data.len()),
            )
        })?;
        if let Some(error) = &glance.error {
            return Err(inner_error(endpoint, error, &[], &data));
        }
        for choice in glance.choices.iter().flatten() {
            *self.choices.entry(choice.index.unwrap_or(0)).or_default() |= choice.finish_reason.is_some();
        }
        self.usage = glance.usage().or(self.usage);
        out.push(Chunk { content: true, data, ..Chunk::default() });
        Ok(ControlFlow::Continue(()))
    }

    /// Whether every choice has said why it ended.
    fn is_complete(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|&ended| ended)
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn text(&self) -> &'static str {
        ""
    }

    fn made_chars(&self) -> usize {
        0
    }
}

/// An error told under status 200: it gets the status its code or type names. One that names none gets 502 and is
/// not tried again, since nobody knows whether that could help.
fn inner_error(endpoint: &Endpoint, error: &Value, headers: &[(String, String)], body: &Bytes) -> Error {
    let named = ["code", "status", "type"].iter().find_map(|name| named_status(error.get(name)?));
    let answer = Answer { status: named.unwrap_or(502), headers: headers.to_vec(), body: body.clone() };
    let error = refused(endpoint, answer);
    if named.is_some() { error } else { error.settled() }
}

fn named_status(code: &Value) -> Option<u16> {
    let number = code.as_u64().or_else(|| code.as_str()?.trim().parse().ok());
    if let Some(number) = number {
        return (400..600).contains(&number).then_some(number as u16);
    }
    match code.as_str()?.to_ascii_lowercase().as_str() {
        "invalid_request_error" | "invalid_request" | "context_length_exceeded" | "content_filter" => Some(400),
        "authentication_error" | "invalid_api_key" => Some(401),
        "permission_error" | "permission_denied" => Some(403),
        "not_found_error" | "model_not_found" => Some(404),
        "insufficient_quota" => Some(429),
        limit if limit.starts_with("rate_limit") => Some(429),
        "server_error" | "internal_server_error" | "internal_error" | "api_error" => Some(500),
        "overloaded_error" | "overloaded" => Some(503),
        "timeout_error" | "timeout" => Some(504),
        _ => None,
    }
}

/// The vectors of an embeddings answer, in the order of the request.
///
/// # Errors
/// [`Kind::Protocol`] when there are not exactly `count`, when their lengths differ, or a number is not finite.
pub fn read_embeddings(endpoint: &Endpoint, answer: &Answer, count: usize) -> Result<Embedded> {
    #[derive(Deserialize)]
    struct Body {
        data: Vec<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        index: Option<usize>,
        embedding: Vector,
    }
    let wrong = |what: String| Error::new(Kind::Protocol, format!("{} answered with {what}", endpoint.host()));
    let body: Body = match serde_json::from_slice(&answer.body) {
        Ok(body) => body,
        Err(e) => {
            // An error told under status 200 says more than "no field `data`".
            usage_of(endpoint, answer)?;
            let why = Secrets::of(endpoint).hide_text(&e.to_string());
            return Err(wrong(format!("something that is not a list of embeddings: {why}")));
        }
    };
    if body.data.len() != count {
        return Err(wrong(format!("{} embeddings for {count} texts", body.data.len())));
    }
    let mut rows: Vec<Vec<f32>> = vec![Vec::new(); count];
    for (position, row) in body.data.into_iter().enumerate() {
        let index = row.index.unwrap_or(position);
        match rows.get_mut(index) {
            Some(slot) if slot.is_empty() => *slot = row.embedding.0,
            _ => return Err(wrong(format!("an embedding of index {index}, twice or outside the {count} texts"))),
        }
    }
    let length = rows.first().map_or(0, Vec::len);
    for (index, row) in rows.iter().enumerate() {
        if row.is_empty() || row.len() != length {
            return Err(wrong(format!(
                "embeddings of different lengths: {length} numbers, and {} at index {index}",
                row.len()
            )));
        }
        if row.iter().any(|number| !number.is_finite()) {
            return Err(wrong(format!("an embedding with a number that is not finite, at index {index}")));
        }
    }
    Ok(Embedded { rows, prompt_tokens: usage_of(endpoint, answer)?.map(|usage| usage.prompt_tokens) })
}

/// Numbers, or base64 of little-endian f32.
struct Vector(Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Vector;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of numbers or base64 of little-endian float32")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vector, E> {
                base64_floats(text).map(Vector).ok_or_else(|| E::custom("invalid base64 of float32"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vector, A::Error> {
                // Without a capacity: there may be far more lists than were asked for.
                let mut numbers = Vec::new();
                while let Some(number) = seq.next_element::<f32>()? {
                    numbers.push(number);
                }
                Ok(Vector(numbers))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Standard base64 with or without padding, as little-endian f32; `None` when it is not that.
fn base64_floats(text: &str) -> Option<Vec<f32>> {
    const DIGITS: [u8; 256] = {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut table = [u8::MAX; 256];
        let mut value = 0;
        while value < 64 {
            table[alphabet[value] as usize] = value as u8;
            value += 1;
        }
        table
    };
    let digits = text.as_bytes();
    let digits = digits.strip_suffix(b"==").or_else(|| digits.strip_suffix(b"=")).unwrap_or(digits);
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for &digit in group {
            let value = DIGITS[usize::from(digit)];
            if value == u8::MAX {
                return None;
            }
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - group.len()) + 8;
        bytes.extend_from_slice(&bits.to_be_bytes()[..group.len() * 3 / 4]);
    }
    let (floats, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| floats.iter().map(|float| f32::from_le_bytes(*float)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::providers::{Asked, resolve};

    fn endpoint() -> Endpoint {
        let asked = Asked {
            api_base: Some("http://h:1".into()),
            api_key: Some("sk-1234567890".to_owned().into()),
            ..Asked::default()
        };
        resolve("openai/big", &asked, &|_| None).unwrap()
    }

    fn answer(body: &str) -> Answer {
        Answer { status: 200, headers: Vec::new(), body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn request_is_the_callers_bytes() {
        let out =
            chat(&endpoint(), &ChatRequest::new(&br#"{"messages": [],  "z":1.0, "a":1}"#[..]), false).unwrap().outgoing;
        assert_eq!(out.body, r#"{"model":"big","messages": [],  "z":1.0, "a":1}"#);
        assert_eq!(out.url.as_str(), "http://h:1/v1/chat/completions");
        assert_eq!(out.headers[AUTHORIZATION], "Bearer sk-1234567890");
        assert!(!format!("{:?}", out.headers).contains("sk-1"));
    }

    #[test]
    fn a_key_with_a_line_break_is_not_shown() {
        let mut endpoint = endpoint();
        endpoint.key = Some("sk-secret\n".to_owned().into());
        let error = chat(&endpoint, &ChatRequest::new(&b"{}"[..]), false).err().unwrap();
        assert!(error.message().contains("line break") && !error.message().contains("secret"));
    }

    #[test]
    fn usage_of_every_shape() {
        let usage = |body: &str| usage_of(&endpoint(), &answer(body)).unwrap();
        let full = r#"{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":120,"completion_tokens":45,"total_tokens":165,
            "prompt_tokens_details":{"cached_tokens":64,"cache_write_tokens":3},"completion_tokens_details":{"reasoning_tokens":30}}}"#;
        let expected = Usage {
            prompt_tokens: 120,
            completion_tokens: 45,
            cached_tokens: 64,
            cache_write_tokens: 3,
            reasoning_tokens: 30,
            ..Usage::default()
        };
        assert_eq!(usage(full), Some(expected));
        assert_eq!(
            usage(r#"{"choices":[],"usage":{"prompt_tokens":1,"prompt_tokens_details":null}}"#)
                .map(|u| u.prompt_tokens),
            Some(1)
        );
        for nothing in ["{}", r#"{"usage":null}"#, r#"{"usage":"many"}"#, r#"{"usage":{"prompt_tokens":-1}}"#] {
            assert_eq!(usage(nothing), None, "{nothing}");
        }
        for wrong in ["<html>", "", "[]", "3"] {
            assert_eq!(usage_of(&endpoint(), &answer(wrong)).unwrap_err().kind(), Kind::Protocol, "{wrong}");
        }
    }

    #[test]
    fn errors_under_status_200() {
        let fails = |body: &str| {
            let error = usage_of(&endpoint(), &answer(body)).unwrap_err();
            (error.answer().unwrap().status, error.message().to_owned())
        };
        let (status, message) = fails(r#"{"error":{"code":429,"message":"slow down, sk-1234567890"}}"#);
        assert_eq!((status, message.as_str()), (429, "openai answered with status 429: slow down, [key]"));
        for (error, status, again) in [
            (r#""broken""#, 502, false),
            (r#"{"code":"odd"}"#, 502, false),
            (r#"{"code":"429"}"#, 429, true),
            (r#"{"code":null,"type":"rate_limit_exceeded"}"#, 429, true),
            (r#"{"type":"invalid_request_error","code":"odd"}"#, 400, false),
            (r#"{"type":"authentication_error"}"#, 401, false),
            (r#"{"type":"server_error"}"#, 500, true),
        ] {
            let body = format!(r#"{{"error":{error},"choices":[]}}"#);
            assert_eq!(fails(&body).0, status, "{error}");
            assert_eq!(usage_of(&endpoint(), &answer(&body)).unwrap_err().is_retryable(), again, "{error}");
        }
        assert!(usage_of(&endpoint(), &answer(r#"{"error":null,"choices":[]}"#)).is_ok());
        assert_eq!(read(r#"{"error":{"code":"x","message":"m"}}"#).unwrap_err().kind(), Kind::Status);
    }

    /// What a new reader makes of one event: the usage and whether the stream may end here; `None` at the end mark.
    fn read(data: &str) -> Result<Option<(Option<Usage>, bool)>> {
        let (mut reader, mut out) = (Reader::default(), Vec::new());
        let more = reader.read(&endpoint(), Bytes::copy_from_slice(data.as_bytes()), &mut out)?.is_continue();
        Ok(more.then(|| (reader.usage(), reader.is_complete())))
    }

    #[test]
    fn events() {
        assert_eq!(read("[DONE]").unwrap(), None);
        assert_eq!(
            read(r#"{"choices":[{"delta":{},"finish_reason":null}],"usage":null}"#).unwrap(),
            Some((None, false))
        );
        assert_eq!(read(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#).unwrap(), Some((None, true)));
        let usage = Some(Usage { prompt_tokens: 9, ..Usage::default() });
        assert_eq!(read(r#"{"choices":[],"usage":{"prompt_tokens":9}}"#).unwrap(), Some((usage, false)));
        assert_eq!(read(r#"{"choices":{"odd":1}}"#).unwrap(), Some((None, false)));
        assert_eq!(read("{cut").unwrap_err().kind(), Kind::Protocol);
    }

    #[test]
    fn a_stream_is_complete_when_every_choice_has_ended() {
        let (mut reader, mut out) = (Reader::default(), Vec::new());
        let mut complete = |event: &'static str| {
            let _ = reader.read(&endpoint(), event.into(), &mut out).unwrap();
            reader.is_complete()
        };
        assert!(!complete(r#"{"choices":[{"index":0},{"index":1}]}"#));
        assert!(!complete(r#"{"choices":[{"index":0,"finish_reason":"stop"}]}"#));
        assert!(complete(r#"{"choices":[{"index":1,"finish_reason":"length"}]}"#));
        assert!(complete(r#"{"choices":[{"index":0,"finish_reason":null}],"usage":{"prompt_tokens":1}}"#));
    }

    #[test]
    fn an_empty_vector_takes_no_room() {
        assert_eq!(serde_json::from_str::<Vector>("[]").unwrap().0.capacity(), 0);
    }

    #[test]
    fn embeddings_in_both_forms_and_any_order() {
        let read = |body: &str, count| read_embeddings(&endpoint(), &answer(body), count).map(|found| found.rows);
        let mixed = r#"{"data":[{"index":1,"embedding":"AACAPwAAAMA="},{"index":0,"embedding":[0.5,-1]}]}"#;
        assert_eq!(read(mixed, 2).unwrap(), [vec![0.5, -1.0], vec![1.0, -2.0]]);
        assert_eq!(read(r#"{"data":[{"embedding":[1]},{"embedding":[2]}]}"#, 2).unwrap(), [[1.0], [2.0]]);
        for (body, says) in [
            (r#"{"data":[{"embedding":[1]}]}"#, "1 embeddings for 2 texts"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#, "twice"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":7,"embedding":[1]}]}"#, "outside"),
            (r#"{"data":[{"embedding":[1]},{"embedding":[1,2]}]}"#, "different lengths"),
            (r#"{"data":[{"embedding":[]},{"embedding":[]}]}"#, "different lengths"),
            (r#"{"data":[{"embedding":[1]},{"embedding":"AADAfw=="}]}"#, "not finite"),
            (r#"{"data":[{"embedding":[1]},{"embedding":"A"}]}"#, "base64"),
            (r#"{"object":"x"}"#, "not a list of embeddings"),
        ] {
            let error = read(body, 2).unwrap_err();
            assert!(error.kind() == Kind::Protocol && error.message().contains(says), "{error:?}");
        }
        assert_eq!(read(r#"{"error":{"message":"no"}}"#, 1).unwrap_err().kind(), Kind::Status);
    }

    fn base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let bits = group.iter().fold(0, |bits, &byte| bits << 8 | usize::from(byte)) << (8 * (3 - group.len()));
            let digits = (0..=group.len()).map(|at| char::from(ALPHABET[bits >> (18 - 6 * at) & 63]));
            text.extend(digits.chain(std::iter::repeat_n('=', 3 - group.len())));
        }
        text
    }

    proptest! {
        #[test]
        fn base64_round_trip(floats in prop::collection::vec(any::<f32>(), 0..9)) {
            let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
            let read = base64_floats(&base64(&bytes)).unwrap();
            let same = read.iter().zip(&floats).all(|(a, b)| a.to_bits() == b.to_bits());
            prop_assert!(same && read.len() == floats.len());
        }

        #[test]
        fn parsers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "\\PC{0,40}") {
            let _ = Reader::default().read(&endpoint(), bytes.into(), &mut Vec::new());
            let _ = usage_of(&endpoint(), &answer(&text));
            let _ = read_embeddings(&endpoint(), &answer(&text), 1);
            let _ = base64_floats(&text);
        }
    }
}
