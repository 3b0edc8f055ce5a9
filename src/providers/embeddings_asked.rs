//! A caller's own request for embeddings: handed on as it came where the provider speaks `OpenAI`'s, else translated.

use serde_json::{Value, json};

use super::body::{Fields, quoted};
use super::request::ChatRequest;
use super::types::{Answer, Embedded, Endpoint, Outgoing};
use super::{Dialect, openai};
use crate::error::{Error, Kind, Result};
use crate::pricing::Usage;

/// What reading the answer has to know of the request.
pub struct Wanted {
    /// Texts asked for, where the answer is not `OpenAI`'s own.
    texts: usize,
    base64: bool,
}

/// The request for `asked`, the body of an embeddings request in `OpenAI`'s shape.
///
/// # Errors
/// [`Kind::Value`] and [`Kind::Type`] for a body that is none; [`Kind::Unsupported`] for a provider without embeddings.
pub fn prepared(endpoint: &Endpoint, asked: &ChatRequest) -> Result<(Outgoing, Wanted)> {
    let dialect = endpoint.dialect;
    if matches!(dialect, Dialect::OpenAi | Dialect::Azure) {
        let fields = Fields::read(asked.bytes())?;
        if fields.get("input").is_none() {
            return Err(no_input());
        }
        let body = fields.write(&[("model", Some(quoted(&endpoint.model)))]);
        // Address and headers are those of any such request.
        let outgoing = dialect.embeddings(endpoint, &[], None, false)?;
        return Ok((Outgoing { body, ..outgoing }, Wanted { texts: 0, base64: false }));
    }
    let object = asked.object()?;
    let texts = texts(object.get("input").ok_or_else(no_input)?)?;
    if texts.len() > dialect.most_embeddings() {
        let most = dialect.most_embeddings();
        return Err(Error::value(format!("`input`: `{}` takes at most {most} texts at once", endpoint.name)));
    }
    let dimensions = match object.get("dimensions") {
        None | Some(Value::Null) => None,
        Some(number) => Some(
            number
                .as_u64()
                .filter(|&number| number > 0)
                .ok_or_else(|| Error::value("`dimensions` must be a whole number above 0"))? as usize,
        ),
    };
    let base64 = object.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let outgoing = dialect.embeddings(endpoint, &texts, dimensions, false)?;
    Ok((outgoing, Wanted { texts: texts.len(), base64 }))
}

/// The answer in `OpenAI`'s shape, and its tokens where the provider tells them.
///
/// # Errors
/// [`Kind::Protocol`] for an answer that is none, [`Kind::Status`] for an error inside status 200.
pub fn read(endpoint: &Endpoint, wanted: &Wanted, mut answer: Answer) -> Result<(Answer, Option<Usage>)> {
    if matches!(endpoint.dialect, Dialect::OpenAi | Dialect::Azure) {
        let usage = openai::usage_of(endpoint, &answer)?;
        return Ok((answer, usage));
    }
    let Embedded { rows, prompt_tokens } = endpoint.dialect.read_embeddings(endpoint, &answer, wanted.texts)?;
    let vector = |row: Vec<f32>| if wanted.base64 { Value::from(base64(&row)) } else { Value::from(row) };
    let list = rows.into_iter().enumerate();
    let data: Vec<Value> =
        list.map(|(index, row)| json!({"object": "embedding", "index": index, "embedding": vector(row)})).collect();
    let tokens = prompt_tokens.unwrap_or_default();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    let body = json!({"object": "list", "data": data, "model": endpoint.model, "usage": usage});
    answer.body = body.to_string().into();
    let usage = prompt_tokens.map(|prompt_tokens| Usage { prompt_tokens, ..Usage::default() });
    Ok((answer, usage))
}

fn texts(input: &Value) -> Result<Vec<&str>> {
    match input {
        Value::String(text) => Some(vec![text.as_str()]),
        Value::Array(texts) if !texts.is_empty() => texts.iter().map(Value::as_str).collect(),
        _ => None,
    }
    .ok_or_else(|| Error::new(Kind::Type, "`input`: this provider takes a text or a list of texts"))
}

fn no_input() -> Error {
    Error::value("`input` is missing: a text, or a list of texts")
}

/// Little-endian float32 in standard base64, as `OpenAI` sends it.
fn base64(row: &[f32]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = row.iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::providers::{Asked, resolve};

    fn at(model: &str) -> Endpoint {
        let asked =
            Asked { api_base: Some("http://127.0.0.1:9/v1".into()), api_key: Some("k".into()), ..Asked::default() };
        resolve(model, &asked, &|_| None).unwrap()
    }

    fn answered(body: &str) -> Answer {
        Answer { status: 200, headers: Vec::new(), body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn only_the_model_changes() {
        let asked = ChatRequest::new(r#"{"model":"house", "input":[[1,2]],"x": 1.50}"#);
        let (outgoing, _) = prepared(&at("openai/e"), &asked).unwrap();
        assert_eq!(outgoing.body, r#"{"model":"e", "input":[[1,2]],"x": 1.50}"#);
        assert_eq!(outgoing.url.path(), "/v1/embeddings");
        let wrong = prepared(&at("openai/e"), &ChatRequest::new(r#"{"model":"house"}"#)).err().unwrap();
        assert!(wrong.message().contains("`input` is missing"));
    }

    #[test]
    fn other_answers_take_the_shape() {
        let endpoint = at("gemini/e");
        let asked = ChatRequest::new(r#"{"input":"a","encoding_format":"base64"}"#);
        let (_, wanted) = prepared(&endpoint, &asked).unwrap();
        let (answer, usage) = read(
            &endpoint,
            &wanted,
            answered(r#"{"embedding":{"values":[0.5,-1]},"usageMetadata":{"promptTokenCount":7}}"#),
        )
        .unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["data"][0]["embedding"], "AAAAPwAAgL8=");
        assert_eq!((usage.unwrap().prompt_tokens, &body["usage"]["prompt_tokens"]), (7, &json!(7)));
        assert!(prepared(&endpoint, &ChatRequest::new(r#"{"input":[1]}"#)).is_err());
        assert!(prepared(&at("anthropic/e"), &asked).is_err());
    }
}
