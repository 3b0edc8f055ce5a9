#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use bytes::Bytes;

use super::embeddings::{Vector, base64_floats};
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
        usage(r#"{"choices":[],"usage":{"prompt_tokens":1,"prompt_tokens_details":null}}"#).map(|u| u.prompt_tokens),
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
    assert_eq!(read(r#"{"choices":[{"delta":{},"finish_reason":null}],"usage":null}"#).unwrap(), Some((None, false)));
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
