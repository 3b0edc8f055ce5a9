#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use proptest::prelude::*;
use reqwest::header::AUTHORIZATION;
use serde_json::Value;

use super::answer::usage_of;
use super::embeddings::{Vector, base64_floats};
use super::*;
use crate::error::Kind;
use crate::pricing::ServiceTier;
use crate::providers::types::{Answer, Usage};
use crate::providers::{Asked, Chunk, resolve};

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
    assert_eq!(read("[DONE]").unwrap_err().kind(), Kind::Protocol);
    let (mut reader, mut out) = (Reader::default(), Vec::new());
    for (event, is_last) in [(r#"{"choices":[{"delta":{}}]}"#, false), (" [DONE]", true)] {
        assert_eq!(reader.read(&endpoint(), event.into(), &mut out).unwrap().is_break(), is_last);
    }
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

fn at(model: &str) -> Endpoint {
    let asked = Asked { api_base: Some("http://h:1".into()), ..Asked::default() };
    resolve(model, &asked, &|_| None).unwrap()
}

/// The one choice of an answer after reading.
fn mended(choice: &str, reading: &Reading) -> Value {
    let body = format!(r#"{{"choices":[{choice}],"x":1.50}}"#);
    let read = read_answer(&endpoint(), reading, answer(&body)).unwrap();
    let value: Value = serde_json::from_slice(&read.answer.body).unwrap();
    value["choices"][0].clone()
}

#[test]
fn usage_as_the_compatible_servers_tell_it() {
    let usage = |model: &str, usage: &str| {
        let body = format!(r#"{{"choices":[],{usage}}}"#);
        usage_of(&at(model), &answer(&body)).unwrap().unwrap()
    };
    let base = r#""prompt_tokens":100,"completion_tokens":10"#;
    let told = |more: &str| format!(r#""usage":{{{base},{more}}}"#);
    assert_eq!(
        usage("deepseek/x", &told(r#""prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36"#)).cached_tokens,
        64
    );
    assert_eq!(usage("moonshot/x", &told(r#""cached_tokens":5"#)).cached_tokens, 5);
    let both = told(r#""prompt_tokens_details":{"cached_tokens":7},"prompt_cache_hit_tokens":64"#);
    assert_eq!(usage("openai/x", &both).cached_tokens, 7);
    let beside = told(r#""total_tokens":150,"completion_tokens_details":{"reasoning_tokens":40}"#);
    assert_eq!(usage("xai/grok-4", &beside).completion_tokens, 50);
    assert_eq!(usage("openai/x", &beside).completion_tokens, 10);
    assert_eq!(usage("xai/grok-4", &told(r#""total_tokens":3"#)).completion_tokens, 10);
    assert_eq!(usage("groq/x", &format!(r#""x_groq":{{"id":"r","usage":{{{base}}}}}"#)).prompt_tokens, 100);
    let tier = |name: &str| usage("openai/gpt-5", &format!(r#"{},"service_tier":"{name}""#, told(r#""a":1"#))).tier;
    assert_eq!(
        (tier("flex"), tier("priority"), tier("default")),
        (ServiceTier::Flex, ServiceTier::Priority, ServiceTier::Standard)
    );
    assert_eq!(tier("unheard of"), ServiceTier::Standard);
    let billed = |model: &str, more: &str| usage(model, &told(more)).billed.map(|cost| cost.to_string());
    assert_eq!(billed("openrouter/a/b", r#""cost":0.00123"#).as_deref(), Some("0.00123"));
    assert_eq!(billed("openrouter/a/b", r#""cost":1.5e-7"#).as_deref(), Some("0.00000015"));
    let own_key = r#""cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":0.2}"#;
    assert_eq!(billed("openrouter/a/b", own_key).as_deref(), Some("0.21"));
    assert_eq!(
        billed("perplexity/sonar", r#""cost":{"request_cost":0.005,"total_cost":0.006}"#).as_deref(),
        Some("0.006")
    );
    assert_eq!(billed("perplexity/sonar", r#""cost":0.00123"#).as_deref(), Some("0.00123"));
    assert_eq!(billed("deepinfra/x", r#""estimated_cost":0.1"#).as_deref(), Some("0.1"));
    for (model, more) in [
        ("openai/x", r#""cost":1"#),
        ("openrouter/a/b", r#""cost":-1"#),
        ("openrouter/a/b", r#""cost":"1""#),
        ("openrouter/a/b", r#""cost":1e300"#),
        ("perplexity/sonar", r#""cost":{}"#),
    ] {
        assert_eq!(billed(model, more), None, "{model} {more}");
    }
    let sound = r#""prompt_tokens_details":{"audio_tokens":6},"completion_tokens_details":{"audio_tokens":4}"#;
    let read = usage("openai/x", &told(sound));
    assert_eq!((read.prompt_audio_tokens, read.completion_audio_tokens), (6, 4));
    assert_eq!(usage("openai/x", r#""usage":{"total_tokens":8}"#).prompt_tokens, 8);
    let spelled =
        usage("openai/x", r#""usage":{"prompt_tokens":"10","completion_tokens":4.5,"prompt_tokens_details":"?"}"#);
    assert_eq!((spelled.prompt_tokens, spelled.completion_tokens), (10, 5));
    // Counts of any kind are no error.
    let odd = r#""usage":{"prompt_tokens":12.0,"completion_tokens":"many","total_tokens":[],"prompt_tokens_details":{"cached_tokens":-1}}"#;
    let read = usage("openai/x", odd);
    assert_eq!((read.prompt_tokens, read.completion_tokens, read.cached_tokens), (12, 0, 0));
}

#[test]
fn counts_are_where_openai_puts_them() {
    let seen = |model: &str, usage: Value| {
        let body = serde_json::json!({"choices": [{"message": {}}], "usage": usage});
        let read = read_answer(&at(model), &Reading::default(), answer(&body.to_string())).unwrap();
        let mut out = Vec::new();
        let _ = Reader::default().read(&at(model), body.to_string().into(), &mut out).unwrap();
        assert_eq!(out[0].data, read.answer.body);
        serde_json::from_slice::<Value>(&read.answer.body).unwrap()["usage"].clone()
    };
    let hits = serde_json::json!({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4, "prompt_tokens_details": null});
    assert_eq!(seen("deepseek/x", hits)["prompt_tokens_details"], serde_json::json!({"cached_tokens": 4}));
    let beside = serde_json::json!({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 15});
    assert_eq!(seen("xai/grok-4", beside.clone())["completion_tokens"], 6);
    assert_eq!(seen("openai/x", beside.clone()), beside);
}

#[test]
fn what_fits_is_handed_on_untouched() {
    for choice in [
        r#"{"index":0,"finish_reason":"stop","message":{"content":"a","x_new":[1.50]}}"#,
        r#"{"index":0,"finish_reason":null,"message":{"content":null,"tool_calls":[{"id":"c"}]}}"#,
        r#"{"index":0,"finish_reason":"tool_calls","message":7}"#,
    ] {
        let body = format!(r#"{{ "choices":[{choice}],  "x":1.50}}"#);
        let read = read_answer(&endpoint(), &Reading::default(), answer(&body)).unwrap();
        assert_eq!(read.answer.body, body);
    }
}

#[test]
fn reasons_in_other_words() {
    let reading = Reading::default();
    for (native, word, kept) in [
        ("eos", "stop", false),
        ("STOP", "stop", false),
        ("model_length", "length", true),
        ("MAX_TOKENS", "length", true),
        ("error", "stop", true),
        ("insufficient_system_resource", "stop", true),
    ] {
        let choice = mended(&format!(r#"{{"finish_reason":"{native}","message":{{"content":"a"}}}}"#), &reading);
        assert_eq!(choice["finish_reason"], word, "{native}");
        assert_eq!(choice.get("native_finish_reason").and_then(Value::as_str), kept.then_some(native));
    }
    let own = mended(r#"{"finish_reason":"max_tokens","native_finish_reason":"theirs"}"#, &reading);
    assert_eq!(own["native_finish_reason"], "theirs");
}

#[test]
fn content_in_parts_becomes_text_and_thoughts() {
    let choice = mended(
        r#"{"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"h"},{"type":"text","text":"m"}]},{"type":"text","text":"Owl"},"!"]}}"#,
        &Reading::default(),
    );
    assert_eq!(
        (&choice["message"]["content"], &choice["message"]["reasoning_content"]),
        (&"Owl!".into(), &"hm".into())
    );
    let choice = mended(r#"{"message":{"content":[{"type":"thinking","thinking":"hm"}]}}"#, &Reading::default());
    assert_eq!(choice["message"]["content"], Value::Null);
}

#[test]
fn who_asked_for_functions_gets_one() {
    let reading = Reading { legacy_functions: true, ..Reading::default() };
    let choice = mended(
        r#"{"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}}"#,
        &reading,
    );
    assert_eq!(choice["finish_reason"], "function_call");
    assert_eq!(
        choice["message"],
        serde_json::json!({"content": null, "function_call": {"name": "f", "arguments": "{}"}})
    );
    let mut reader = Reader::new(&reading);
    let chunk = one(
        &mut reader,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}"#,
    );
    let value: Value = serde_json::from_slice(&chunk.data).unwrap();
    assert_eq!(value["choices"][0]["delta"], serde_json::json!({"function_call": {"arguments": "{"}}));
    assert!(chunk.content);
}

#[test]
fn errors_of_a_choice_and_of_other_shapes() {
    let fails = |body: &str| usage_of(&endpoint(), &answer(body)).err().map(|error| error.answer().unwrap().status);
    assert_eq!(fails(r#"{"choices":[{"error":{"code":502,"message":"m"},"finish_reason":"error"}]}"#), Some(502));
    assert_eq!(fails(r#"{"object":"error","message":"m","code":400}"#), Some(502));
    assert_eq!(fails(r#"{"error":{"code":429},"choices":[{"message":{"content":""}}]}"#), Some(429));
    assert_eq!(fails(r#"{"error":{"code":429},"choices":[{"message":{"content":"still"}}]}"#), None);
    assert_eq!(
        read(r#"{"error":{"code":429},"choices":[{"delta":{"content":"cut"}}]}"#).unwrap_err().answer().unwrap().status,
        429
    );
}

/// The one chunk of an event.
fn one(reader: &mut Reader, data: &str) -> Chunk {
    let mut out = Vec::new();
    assert!(reader.read(&endpoint(), Bytes::copy_from_slice(data.as_bytes()), &mut out).unwrap().is_continue());
    assert_eq!(out.len(), 1);
    out.remove(0)
}

#[test]
fn a_reader_knows_where_its_stream_stands() {
    let mut reader = Reader::new(&Reading::default());
    let mut chunk = |data: &str| {
        let chunk = one(&mut reader, data);
        (chunk.content, chunk.ends, chunk.hidden, reader.made_chars(), reader.text().to_owned())
    };
    // Azure opens with what its filter says of the prompt.
    assert_eq!(chunk(r#"{"choices":[],"prompt_filter_results":[{}]}"#), (false, false, false, 0, String::new()));
    assert!(!chunk(r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#).0);
    assert_eq!(
        chunk(r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#),
        (true, false, false, 2, String::new())
    );
    assert_eq!(chunk(r#"{"choices":[{"index":0,"delta":{"content":"Öwl"}}]}"#), (true, false, false, 5, "Öwl".into()));
    assert_eq!(chunk(r#"{"choices":[{"index":1,"delta":{"content":"ab"}}]}"#).3, 7);
    let call = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}]}}]}"#;
    assert_eq!((chunk(call).0, chunk(call).3), (true, 13));
    assert!(!chunk(r#"{"choices":[{"index":0,"delta":{},"finish_reason":""}]}"#).1);
    assert!(chunk(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#).1);
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":9}}"#;
    assert!(chunk(usage).2);
    assert!(!one(&mut Reader::new(&Reading { usage_asked: true, ..Reading::default() }), usage).hidden);
    assert!(!one(&mut Reader::default(), r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":9}}"#).hidden);
    // Perplexity repeats all that was said.
    let mut reader = Reader::default();
    let both = r#"{"choices":[{"index":0,"message":{"content":"Hoo hoo"},"delta":{"content":" hoo"}}]}"#;
    assert!(one(&mut reader, both).content && reader.text() == " hoo");
    // What is of no known shape takes nothing else with it.
    for odd in [r#"{"index":-1,"delta":{"content":"a"}}"#, r#"{"delta":{"content":"a","tool_calls":3}}"#] {
        let mut reader = Reader::default();
        assert!(one(&mut reader, &format!(r#"{{"choices":[{odd}]}}"#)).content && reader.text() == "a", "{odd}");
    }
    // Parts become text before they are counted.
    let mut reader = Reader::default();
    let parts = r#"{"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"Owl"}]}}]}"#;
    assert!(one(&mut reader, parts).content);
    assert_eq!((reader.text(), reader.made_chars()), ("Owl", 5));
}

#[test]
fn calls_without_an_index_get_one() {
    let mut reader = Reader::default();
    let mut index = |calls: &str| {
        let chunk = one(&mut reader, &format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{calls}]}}}}]}}"#));
        let value: Value = serde_json::from_slice(&chunk.data).unwrap();
        let calls = value["choices"][0]["delta"]["tool_calls"].as_array().unwrap().clone();
        calls.iter().map(|call| call["index"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(index(r#"{"id":"a"},{"id":"b"}"#), [0, 1]);
    assert_eq!(index(r#"{"function":{"arguments":"x"}}"#), [1]);
    assert_eq!(index(r#"{"id":"a"}"#), [0]);
    assert_eq!(index(r#"{"id":"c"}"#), [2]);
}

proptest! {
    /// Mending gives OpenAI's shape, and mending that changes nothing.
    #[test]
    fn mending_is_done_once(
        reason in prop_oneof!["[a-zA-Z_]{0,10}", Just("eos".to_owned()), Just("stop".to_owned())],
        parts in prop::collection::vec(("\\PC{0,6}", any::<bool>()), 0..4),
        legacy in any::<bool>(),
    ) {
        let reading = Reading { legacy_functions: legacy, ..Reading::default() };
        let content: Value = parts.iter().map(|(text, thinks)| if *thinks {
            serde_json::json!({"type": "thinking", "thinking": [{"type": "text", "text": text}]})
        } else {
            serde_json::json!({"type": "text", "text": text})
        }).collect();
        let body = serde_json::json!({"choices": [{"index": 0, "finish_reason": reason, "message": {
            "content": content, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        }}]});
        let first = read_answer(&endpoint(), &reading, answer(&body.to_string())).unwrap().answer.body;
        let second = read_answer(&endpoint(), &reading, answer(std::str::from_utf8(&first).unwrap())).unwrap().answer.body;
        prop_assert_eq!(&first, &second);
        let value: Value = serde_json::from_slice(&first).unwrap();
        let choice = &value["choices"][0];
        prop_assert!(["", "stop", "length", "tool_calls", "content_filter", "function_call"].contains(&choice["finish_reason"].as_str().unwrap()));
        let said: String = parts.iter().filter(|(_, thinks)| !thinks).map(|(text, _)| text.as_str()).collect();
        prop_assert_eq!(choice["message"]["content"].as_str().unwrap_or(""), said);
        prop_assert_eq!(choice["message"].get("function_call").is_some(), legacy);
    }
}

#[test]
fn what_nests_too_deep_is_refused() {
    let nested = |depth: usize, text: &str| {
        let inner = format!("{}{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        format!(r#"{{"choices":[{{"message":{{"content":"{text}"}}}}],"more":{inner}}}"#)
    };
    let read = |body: &str| read_answer(&endpoint(), &Reading::default(), answer(body)).map(|read| read.answer.body);
    let brackets = r#"[[{{\"\\"#.repeat(80);
    for fits in [nested(127, ""), nested(127, &brackets), nested(3, &brackets)] {
        assert_eq!(read(&fits).unwrap(), fits);
    }
    for deep in [nested(128, ""), nested(2000, &brackets), nested(100_000, "")] {
        assert_eq!(read(&deep).unwrap_err().kind(), Kind::Protocol);
        let event = deep.replace("message", "delta");
        let error = Reader::default().read(&endpoint(), event.into(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol);
    }
}

#[test]
fn no_part_is_larger_than_its_whole() {
    let usage =
        |usage: &str| usage_of(&endpoint(), &answer(&format!(r#"{{"choices":[],"usage":{usage}}}"#))).unwrap().unwrap();
    let odd = usage(
        r#"{"prompt_tokens":10,"completion_tokens":2,
        "prompt_tokens_details":{"cached_tokens":100,"cache_write_tokens":9,"audio_tokens":11},
        "completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":18446744073709551615}}"#,
    );
    let bounded = Usage {
        prompt_tokens: 10,
        completion_tokens: 2,
        cached_tokens: 10,
        reasoning_tokens: 2,
        prompt_audio_tokens: 10,
        ..Usage::default()
    };
    assert_eq!(odd, bounded);
    let absurd = usage(r#"{"prompt_tokens":10,"completion_tokens":9007199254740992}"#);
    assert_eq!(absurd, Usage { prompt_tokens: 10, ..Usage::default() });
}
