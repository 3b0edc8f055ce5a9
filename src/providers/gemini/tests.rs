//! Answers and streams, as `Google` sends them and as it might.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::ops::ControlFlow;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::request::Reading;
use super::super::types::{Answer, Chunk, Completion, Endpoint, ReadStream, Usage};
use super::super::{Asked, Dialect, resolve};
use super::*;
use crate::Kind;
use crate::pricing::ServiceTier;

pub(super) fn endpoint(model: &str) -> Endpoint {
    at("http://h:1", model)
}

fn at(base: &str, model: &str) -> Endpoint {
    let asked = Asked {
        api_base: Some(base.to_owned()),
        api_key: Some("AIza-secret-1234567".to_owned().into()),
        ..Asked::default()
    };
    // As any model at an address, so that these tests do not depend on how prefixes are resolved.
    let plain = resolve("openai/x", &asked, &|_| None).unwrap();
    Endpoint {
        provider: "gemini",
        dialect: Dialect::Gemini,
        base: base.parse().unwrap(),
        model: model.to_owned(),
        name: format!("gemini/{model}"),
        ..plain
    }
}

pub(super) fn answer(body: &str) -> Answer {
    let headers = vec![("content-length".to_owned(), body.len().to_string()), ("x-a".to_owned(), "b".to_owned())];
    Answer { status: 200, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn read(body: &Value) -> Result<Completion> {
    read_answer(&endpoint("gemini-2.5-flash"), &Reading::default(), answer(&body.to_string()))
}

fn shown(body: &Value) -> Value {
    serde_json::from_slice(&read(body).unwrap().answer.body).unwrap()
}

/// All chunks of a stream, and its reader.
fn streamed(events: &[Value], reading: &Reading) -> (Vec<Chunk>, stream::Reader) {
    let (mut reader, mut out) = (stream::Reader::of(reading), Vec::new());
    let endpoint = endpoint("gemini-2.5-flash");
    for event in events {
        let more = reader.read(&endpoint, Bytes::from(event.to_string()), &mut out).unwrap();
        assert_eq!(more, ControlFlow::Continue(()));
    }
    if reader.is_complete() {
        reader.finish(&endpoint, &mut out);
    }
    (out, reader)
}

fn texts(parts: &[Value], finish: Option<&str>) -> Value {
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "r1"})
}

#[test]
fn paths_for_every_kind_of_base() {
    for (base, model, url) in [
        ("http://h", "gemini-2.5-flash", "http://h/v1beta/models/gemini-2.5-flash:generateContent"),
        ("http://h/v1beta", "gemini-2.5-flash", "http://h/v1beta/models/gemini-2.5-flash:generateContent"),
        ("http://h/v1/", "models/m", "http://h/v1/models/m:generateContent"),
        ("http://h/vault/", "m", "http://h/vault/v1beta/models/m:generateContent"),
        ("http://h/llm/gemini/v1beta", "tunedModels/t", "http://h/llm/gemini/v1beta/tunedModels/t:generateContent"),
    ] {
        assert_eq!(super::url(&at(base, model), "generateContent").as_str(), url, "{base}");
    }
    assert_eq!(chat_path(&endpoint("m"), true), "v1beta/models/m:streamGenerateContent");
}

#[test]
fn a_model_name_is_one_segment_whatever_is_in_it() {
    for (model, segment) in [
        ("../../x", "models/..%2F..%2Fx"),
        ("..", "models/.."),
        ("models/../../v1/x", "models/..%2F..%2Fv1%2Fx"),
        ("tunedModels/a/b", "tunedModels/a%2Fb"),
        ("other/m", "models/other%2Fm"),
        ("m:countTokens?key=1#x", "models/m%3AcountTokens%3Fkey%3D1%23x"),
        ("..%2f..\\x", "models/..%252f..%5Cx"),
        ("m@001", "models/m@001"),
        ("\u{e4}", "models/%C3%A4"),
    ] {
        let expected = format!("http://h/p/v1beta/{segment}:generateContent");
        assert_eq!(super::url(&at("http://h/p", model), "generateContent").as_str(), expected, "{model}");
        assert_eq!(at("http://h/p", model).shown_url(&chat_path(&at("http://h/p", model), false)), expected);
    }
    // In a body it is as the caller wrote it.
    let made = embeddings(&at("http://h", "a/b"), &["x"], None).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&made.body).unwrap()["model"], "models/a/b");
    assert_eq!(made.url.as_str(), "http://h/v1beta/models/a%2Fb:embedContent");
}

#[test]
fn the_key_is_in_a_header_of_its_own() {
    let mut endpoint = endpoint("m");
    endpoint.headers.insert("x-goog-user-project", HeaderValue::from_static("p"));
    let made = headers(&endpoint, "application/json").unwrap();
    assert!(made["x-goog-api-key"].is_sensitive() && made["x-goog-api-key"] == "AIza-secret-1234567");
    assert!(made.get("authorization").is_none() && made["x-goog-user-project"] == "p");
    endpoint.key = Some("AIza\n".to_owned().into());
    assert!(headers(&endpoint, "application/json").unwrap_err().message().contains("line break"));
}

#[test]
fn the_answer_of_the_reference() {
    let body = json!({
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "Owl"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 900, "cachedContentTokenCount": 800, "candidatesTokenCount": 3,
            "thoughtsTokenCount": 20, "toolUsePromptTokenCount": 0, "totalTokenCount": 923,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 900}]},
        "modelVersion": "gemini-2.5-flash", "responseId": "r1"});
    let done = read(&body).unwrap();
    assert_eq!(done.answer.headers, [("x-a".to_owned(), "b".to_owned())]);
    let usage = Usage {
        prompt_tokens: 900,
        completion_tokens: 23,
        cached_tokens: 800,
        reasoning_tokens: 20,
        ..Usage::default()
    };
    assert_eq!(done.usage, Some(usage));
    let mut shown: Value = serde_json::from_slice(&done.answer.body).unwrap();
    assert!(shown["created"].take().as_u64().unwrap() > 1_700_000_000);
    assert_eq!(
        shown,
        json!({
            "id": "r1", "object": "chat.completion", "created": null, "model": "gemini-2.5-flash",
            "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null,
                "message": {"role": "assistant", "content": "Owl", "refusal": null}}],
            "usage": {"prompt_tokens": 900, "completion_tokens": 23, "total_tokens": 923,
                "prompt_tokens_details": {"cached_tokens": 800, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 0}},
        })
    );
}

#[test]
fn thoughts_calls_and_signatures() {
    let parts = [
        json!({"text": "Let me think.", "thought": true}),
        json!({"text": "I look ", "newField": [1]}),
        json!({"text": "it up.", "thoughtSignature": "dGV4dA=="}),
        json!({"functionCall": {"id": "f1", "name": "lookup", "args": {"q": "owl", "a": 1.5}}, "thoughtSignature": "c2ln"}),
        json!({"functionCall": {"name": "now"}}),
        json!({"functionCall": {"id": "f1", "name": "again", "args": null}}),
        json!({"functionCall": {"args": {}}}),
        json!({"somethingNew": {}}),
        json!(7),
    ];
    let choice = shown(&texts(&parts, Some("STOP")))["choices"][0].take();
    let message = &choice["message"];
    assert_eq!((&choice["finish_reason"], &choice["native_finish_reason"]), (&json!("tool_calls"), &Value::Null));
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("I look it up."), &json!("Let me think."))
    );
    assert_eq!(
        message["extra_content"],
        json!({"google": {"thought_signature": "dGV4dA==",
            "parts": [{"thought": 13}, {"text": 7}, {"text": 6, "thought_signature": "dGV4dA=="}, {"calls": 3}]}})
    );
    let calls = message["tool_calls"].as_array().unwrap();
    assert_eq!(
        calls[0],
        json!({"id": "f1", "type": "function", "function": {"name": "lookup", "arguments": r#"{"q":"owl","a":1.5}"#},
            "extra_content": {"google": {"thought_signature": "c2ln"}}})
    );
    assert_eq!(calls[1]["function"], json!({"name": "now", "arguments": "{}"}));
    assert_eq!(calls.len(), 3);
    let ids: std::collections::HashSet<_> = calls.iter().map(|call| call["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3, "every call has an id of its own");
    assert!(ids.iter().all(|id| id.len() <= 40));
}

#[test]
fn a_call_in_the_form_before_tools() {
    let call = json!({"functionCall": {"id": "f1", "name": "lookup", "args": {"q": 1}}, "thoughtSignature": "c2ln"});
    let reading = Reading { legacy_functions: true, ..Reading::default() };
    let body = answer(&texts(&[call], Some("STOP")).to_string());
    let done = read_answer(&endpoint("gemini-3-flash"), &reading, body).unwrap();
    let mut shown: Value = serde_json::from_slice(&done.answer.body).unwrap();
    let choice = shown["choices"][0].take();
    assert_eq!(choice["finish_reason"], "function_call");
    assert_eq!(choice["message"]["function_call"], json!({"name": "lookup", "arguments": r#"{"q":1}"#}));
    assert_eq!(choice["message"]["content"], Value::Null);
    assert_eq!(choice["message"]["extra_content"]["google"]["thought_signature"], "c2ln");
    assert!(choice["message"].get("tool_calls").is_none());
}

#[test]
fn every_finish_reason() {
    let of = |reason: &str| {
        let choice = shown(&texts(&[json!({"text": "x"})], Some(reason)))["choices"][0].take();
        (choice["finish_reason"].as_str().unwrap().to_owned(), choice.get("native_finish_reason").cloned())
    };
    assert_eq!(of("STOP"), ("stop".to_owned(), None));
    assert_eq!(of("MAX_TOKENS"), ("length".to_owned(), None));
    for (says, reasons) in [
        (
            "content_filter",
            "SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII MODEL_ARMOR IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT \
             IMAGE_RECITATION IMAGE_OTHER",
        ),
        (
            "stop",
            "LANGUAGE OTHER MALFORMED_FUNCTION_CALL MALFORMED_RESPONSE UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS \
             MISSING_THOUGHT_SIGNATURE ESCALATION CONTINUATION NO_IMAGE INVENTED_NEXT_YEAR",
        ),
    ] {
        for reason in reasons.split_ascii_whitespace() {
            assert_eq!(of(reason), (says.to_owned(), Some(json!(reason))), "{reason}");
        }
    }
    let call = json!({"functionCall": {"name": "f", "args": {}}});
    for reason in ["STOP", "MAX_TOKENS", "MALFORMED_FUNCTION_CALL"] {
        assert_eq!(
            shown(&texts(std::slice::from_ref(&call), Some(reason)))["choices"][0]["finish_reason"],
            "tool_calls"
        );
    }
}

#[test]
fn a_blocked_prompt_is_an_answer() {
    let body =
        json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 4}});
    let done = read(&body).unwrap();
    assert_eq!(done.usage.unwrap().prompt_tokens, 4);
    let choice = shown(&body)["choices"][0].take();
    assert_eq!(choice["finish_reason"], "content_filter");
    assert_eq!(choice["native_finish_reason"], "PROHIBITED_CONTENT");
    assert_eq!((&choice["message"]["content"], &choice["message"]["role"]), (&Value::Null, &json!("assistant")));
    let (chunks, reader) = streamed(std::slice::from_ref(&body), &Reading::default());
    let chunk: Value = serde_json::from_slice(&chunks[0].data).unwrap();
    assert_eq!((chunks.len(), &chunk["choices"][0]["finish_reason"]), (1, &json!("content_filter")));
    assert!(reader.is_complete() && chunks[0].ends && !chunks[0].content);
}

#[test]
fn what_is_no_answer() {
    for (body, kind) in [
        ("<html>", Kind::Protocol),
        ("", Kind::Protocol),
        ("[]", Kind::Protocol),
        ("{}", Kind::Protocol),
        (r#"{"candidates":[]}"#, Kind::Protocol),
        (r#"{"candidates":{"a":1},"usageMetadata":7}"#, Kind::Protocol),
        (r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#, Kind::Status),
        (r#"[{"error":{"code":503}}]"#, Kind::Status),
    ] {
        let error = read_answer(&endpoint("m"), &Reading::default(), answer(body)).unwrap_err();
        assert_eq!(error.kind(), kind, "{body}");
    }
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(read_answer(&endpoint("m"), &Reading::default(), answer(&deep)).unwrap_err().kind(), Kind::Protocol);
}

#[test]
fn odd_types_say_nothing() {
    let body = json!({"candidates": [{"index": "0", "content": {"parts": {"text": "x"}}, "finishReason": 3}, "text"],
        "usageMetadata": {"promptTokenCount": "12", "candidatesTokenCount": -1, "thoughtsTokenCount": 2.0,
            "cachedContentTokenCount": 99},
        "modelVersion": null, "responseId": 7});
    let done = read(&body).unwrap();
    let usage = done.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens), (12, 2, 12));
    let shown = shown(&body);
    assert_eq!((&shown["model"], shown["choices"].as_array().unwrap().len()), (&json!("gemini-2.5-flash"), 2));
    assert_eq!(shown["choices"][1]["index"], 1);
}

#[test]
fn class_of_service() {
    let tier = |name: &str, value: &str| {
        let mut body = texts(&[], Some("STOP"));
        body["usageMetadata"] = json!({"promptTokenCount": 1});
        body["usageMetadata"][name] = value.into();
        read(&body).unwrap().usage.unwrap().tier
    };
    assert_eq!(tier("trafficType", "ON_DEMAND_FLEX"), ServiceTier::Flex);
    assert_eq!(tier("serviceTier", "priority"), ServiceTier::Priority);
    assert_eq!(tier("trafficType", "ON_DEMAND"), ServiceTier::Standard);
    // Told by a header, and else the one asked for.
    let body = json!({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 1}});
    let asked = Reading { tier: ServiceTier::Priority, ..Reading::default() };
    let mut told = answer(&body.to_string());
    let tier = |answer: Answer| read_answer(&endpoint("m"), &asked, answer).unwrap().usage.unwrap().tier;
    assert_eq!(tier(told.clone()), ServiceTier::Priority);
    told.headers.push(("x-gemini-service-tier".to_owned(), "standard".to_owned()));
    assert_eq!(tier(told), ServiceTier::Standard);
    assert_eq!(streamed(&[body], &asked).1.usage().unwrap().tier, ServiceTier::Priority);
}

#[test]
fn log_probabilities() {
    let mut body = texts(&[json!({"text": "é"})], Some("STOP"));
    body["candidates"][0]["logprobsResult"] = json!({
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "e", "logProbability": -2}]}]});
    let found = shown(&body)["choices"][0]["logprobs"].take();
    let content = &found["content"][0];
    assert_eq!(
        (&content["token"], &content["logprob"], &content["bytes"]),
        (&json!("é"), &json!(-0.5), &json!([195, 169]))
    );
    assert_eq!(content["top_logprobs"].as_array().unwrap().len(), 2);
}

#[test]
fn pictures_are_kept() {
    let parts = [json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}), json!({"text": "an owl"})];
    let message = shown(&texts(&parts, Some("STOP")))["choices"][0]["message"].take();
    assert_eq!(message["images"], json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]));
}

#[test]
fn a_stream_and_its_end() {
    let mut last = texts(&[json!({"text": "l", "thoughtSignature": "dA=="})], Some("MAX_TOKENS"));
    last["usageMetadata"] = json!({"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 1});
    let mut first = texts(&[json!({"text": "hm", "thought": true})], None);
    first["usageMetadata"] = json!({"promptTokenCount": 9, "thoughtsTokenCount": 1});
    let events = [first, texts(&[json!({"text": "Ow"})], None), json!({"candidates": [{"index": 0}]}), last];
    let (chunks, reader) = streamed(&events[..3], &Reading::default());
    assert!(!reader.is_complete() && chunks.len() == 2);
    assert_eq!((reader.text(), reader.made_chars()), ("Ow", 4));
    assert_eq!(reader.usage().unwrap().completion_tokens, 1, "known before the end");
    let asked = Reading { usage_asked: true, ..Reading::default() };
    let (chunks, reader) = streamed(&events, &asked);
    let shown: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_slice(&chunk.data).unwrap()).collect();
    let deltas: Vec<&Value> = shown.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    assert_eq!(*deltas[0], json!({"role": "assistant", "content": "", "reasoning_content": "hm"}));
    assert_eq!(*deltas[1], json!({"content": "Ow"}));
    assert_eq!(*deltas[2], json!({"content": "l"}));
    let parts = json!([{"thought": 2}, {"text": 2}, {"text": 1, "thought_signature": "dA=="}]);
    let signed = json!({"extra_content": {"google": {"thought_signature": "dA==", "parts": parts}}});
    assert_eq!((deltas[3], &shown[3]["choices"][0]["finish_reason"]), (&signed, &json!("length")));
    assert_eq!((&shown[4]["choices"], &shown[4]["usage"]["total_tokens"]), (&json!([]), &json!(12)));
    assert!(shown.iter().all(|chunk| chunk["id"] == "r1" && chunk["object"] == "chat.completion.chunk"));
    assert_eq!(
        chunks.iter().map(|chunk| (chunk.content, chunk.ends)).collect::<Vec<_>>(),
        [(true, false), (true, false), (true, false), (false, true), (false, false)]
    );
    assert_eq!((chunks.len(), reader.text(), reader.usage().unwrap().completion_tokens), (5, "Owl", 3));
    // Nobody asked for the usage: it is not among the chunks.
    assert_eq!(streamed(&events, &Reading::default()).0.len(), 4);
}

#[test]
fn a_reason_with_every_event_and_calls_at_the_end() {
    let call = |name: &str| json!({"functionCall": {"id": "call_0", "name": name, "args": {}}});
    let events = [
        texts(&[json!({"text": "I call."})], Some("STOP")),
        texts(&[call("a"), call("b")], Some("STOP")),
        // Numbered anew with every event.
        texts(&[call("c")], Some("STOP")),
    ];
    let (chunks, _) = streamed(&events, &Reading::default());
    let shown: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_slice(&chunk.data).unwrap()).collect();
    let indexes: Vec<&Value> = shown
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array())
        .flatten()
        .map(|call| &call["index"])
        .collect();
    assert_eq!(indexes, [0, 1, 2]);
    let ids: std::collections::HashSet<_> = shown
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array())
        .flatten()
        .map(|call| call["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 3);
    let reasons: Vec<&Value> = shown.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
    assert_eq!(reasons, [&Value::Null, &Value::Null, &Value::Null, &json!("tool_calls")]);
}

#[test]
fn several_candidates_end_apart() {
    let event = |index: u64, text: &str, finish: Value| json!({"candidates": [{"index": index, "content": {"parts": [{"text": text}]}, "finishReason": finish}]});
    let events = [event(0, "a", Value::Null), event(1, "b", json!("STOP")), event(0, "c", json!("STOP"))];
    assert!(!streamed(&events[..2], &Reading::default()).1.is_complete());
    let (chunks, reader) = streamed(&events, &Reading::default());
    assert_eq!((reader.text(), chunks.len()), ("ac", 5));
    assert!(streamed(&[json!({"candidates": [event(0, "x", json!("STOP"))["candidates"][0], event(1, "y", Value::Null)["candidates"][0]]})], &Reading::default()).1.text() == "x");
}

#[test]
fn errors_in_a_stream() {
    let read = |data: &str| {
        let mut reader = stream::Reader::of(&Reading::default());
        reader.read(&endpoint("m"), Bytes::copy_from_slice(data.as_bytes()), &mut Vec::new())
    };
    let error = read(r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Status, true));
    assert_eq!(read(r#"[{"error":{"code":400,"message":"m"}}]"#).unwrap_err().answer().unwrap().status, 400);
    for wrong in ["{cut", "3", "\"text\"", "[3]"] {
        assert_eq!(read(wrong).unwrap_err().kind(), Kind::Protocol, "{wrong}");
    }
    assert_eq!(read("[DONE]").unwrap_err().kind(), Kind::Protocol);
    let mut reader = stream::Reader::of(&Reading::default());
    let mut next = |data: &'static str| reader.read(&endpoint("m"), data.into(), &mut Vec::new()).unwrap();
    assert!(next(r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#).is_continue());
    assert!(next("[DONE]").is_break());
    assert_eq!(read("{}").unwrap(), ControlFlow::Continue(()));
}

/// Parts as a model may send them.
fn parts() -> impl Strategy<Value = Vec<Value>> {
    let signature = prop::option::of(Just("c2ln"));
    let part = (0..4_u8, "\\PC{0,6}", "[a-z]{1,5}", signature).prop_map(|(kind, text, name, signature)| {
        let mut part = match kind {
            0 => json!({"text": text, "thought": true}),
            1 => json!({"functionCall": {"id": format!("id{name}"), "name": name, "args": {"x": text}}}),
            _ => json!({"text": text}),
        };
        if let Some(signature) = signature {
            part["thoughtSignature"] = signature.into();
        }
        part
    });
    prop::collection::vec(part, 0..6)
}

proptest! {
    /// However the parts are spread over events, the stream says what the whole answer says.
    #[test]
    fn a_stream_says_what_the_answer_says(parts in parts(), cut in 0..7_usize) {
        let whole = shown(&texts(&parts, Some("STOP")))["choices"][0].take();
        let cut = cut.min(parts.len());
        let events = [texts(&parts[..cut], None), texts(&parts[cut..], None), texts(&[], Some("STOP"))];
        let (chunks, reader) = streamed(&events, &Reading::default());
        let (mut text, mut reasoning, mut calls, mut reason) = (String::new(), String::new(), Vec::new(), Value::Null);
        let mut extra = None;
        for chunk in &chunks {
            let chunk: Value = serde_json::from_slice(&chunk.data).unwrap();
            let choice = &chunk["choices"][0];
            text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
            reasoning.push_str(choice["delta"]["reasoning_content"].as_str().unwrap_or_default());
            calls.extend(choice["delta"]["tool_calls"].as_array().into_iter().flatten().cloned());
            extra = choice["delta"].get("extra_content").cloned().or(extra);
            reason = choice["finish_reason"].clone();
        }
        let message = &whole["message"];
        prop_assert_eq!(message["content"].as_str().unwrap_or_default(), &text);
        prop_assert_eq!(reader.text(), &text);
        prop_assert_eq!(message["reasoning_content"].as_str().unwrap_or_default(), &reasoning);
        prop_assert_eq!(&whole["finish_reason"], &reason);
        prop_assert_eq!(message.get("extra_content"), extra.as_ref());
        let shown = |calls: &[Value]| -> Vec<Value> {
            calls.iter().map(|call| json!([call["function"], call["extra_content"]])).collect()
        };
        prop_assert_eq!(shown(message["tool_calls"].as_array().map_or(&[], Vec::as_slice)), shown(&calls));
    }

    #[test]
    fn readers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[\\[{\":,0-9a-z}\\] ]{0,60}") {
        for data in [Bytes::from(bytes), Bytes::from(text)] {
            let _ = stream::Reader::of(&Reading::default()).read(&endpoint("m"), data.clone(), &mut Vec::new());
            let whole = Answer { status: 200, headers: Vec::new(), body: data };
            let _ = read_embeddings(&endpoint("m"), &whole, 1);
            let _ = read_answer(&endpoint("m"), &Reading::default(), whole);
        }
    }
}

#[test]
fn counts_that_are_none_are_not_told() {
    let body = json!({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 10,
        "cachedContentTokenCount": 99, "candidatesTokenCount": "18446744073709551615", "thoughtsTokenCount": 2,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1e300}, {"modality": "AUDIO", "tokenCount": 12}]}});
    let told = said::usage(&body, &Reading::default()).unwrap();
    assert_eq!((told.usage.prompt_tokens, told.usage.cached_tokens, told.usage.prompt_audio_tokens), (10, 10, 10));
    assert_eq!((told.usage.completion_tokens, told.usage.reasoning_tokens), (2, 2));
}
