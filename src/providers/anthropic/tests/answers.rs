//! What comes back: whole answers, streams, errors, and thoughts that go back with the next turn.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::*;
use crate::pricing::ServiceTier;
use crate::providers::testing::any_json;
use crate::providers::types::{Chunk, Usage};

pub(super) fn read_with(reading: &Reading, answer: &Value) -> Value {
    let answer = Answer { status: 200, headers: Vec::new(), body: Bytes::from(answer.to_string()) };
    serde_json::from_slice(&read_answer(&endpoint("claude-haiku-4-5"), reading, answer).unwrap().answer.body).unwrap()
}

#[test]
fn the_answer_of_the_format() {
    let answer = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "stop_reason": "tool_use", "stop_sequence": null,
        "content": [{"type": "text", "text": "Let me look."}, {"type": "server_tool_use", "id": "s"}, {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"q": "owl"}}],
        "usage": {"input_tokens": 40, "cache_read_input_tokens": 800, "cache_creation_input_tokens": 60,
            "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 10},
            "output_tokens": 25, "output_tokens_details": {"thinking_tokens": 9}, "service_tier": "priority"}});
    let bytes = Answer { status: 200, headers: Vec::new(), body: Bytes::from(answer.to_string()) };
    let read = read_answer(&endpoint("x"), &Reading::default(), bytes).unwrap();
    let expected = Usage {
        prompt_tokens: 900,
        completion_tokens: 25,
        cached_tokens: 800,
        cache_write_tokens: 60,
        cache_write_1h_tokens: 10,
        reasoning_tokens: 9,
        tier: ServiceTier::Priority,
        ..Usage::default()
    };
    assert_eq!(read.usage, Some(expected));
    let mut body: Value = serde_json::from_slice(&read.answer.body).unwrap();
    assert!(body["created"].take().as_u64().unwrap() > 1_700_000_000);
    assert_eq!(
        body,
        json!({"id": "msg_1", "object": "chat.completion", "created": null, "model": "claude-haiku-4-5", "service_tier": "priority",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "native_finish_reason": "tool_use", "logprobs": null, "message": {
            "role": "assistant", "content": "Let me look.", "refusal": null,
            "tool_calls": [{"id": "toolu_1", "type": "function", "function": {"name": "lookup", "arguments": "{\"q\":\"owl\"}"}}]}}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 25, "total_tokens": 925,
            "prompt_tokens_details": {"cached_tokens": 800, "cache_write_tokens": 60}, "completion_tokens_details": {"reasoning_tokens": 9}}})
    );
}

#[test]
fn reasons_to_stop() {
    for (stop, reason) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("new_reason", "stop"),
    ] {
        let read = read_with(&Reading::default(), &json!({"content": [], "stop_reason": stop}));
        let choice = &read["choices"][0];
        assert_eq!((&choice["finish_reason"], &choice["native_finish_reason"]), (&json!(reason), &json!(stop)));
        assert_eq!((&choice["message"]["content"], &read["usage"]), (&json!(""), &Value::Null));
    }
}

#[test]
fn errors_under_status_200() {
    let fail = |body: &str| {
        let answer = Answer { status: 200, headers: Vec::new(), body: Bytes::from(body.to_owned()) };
        read_answer(&endpoint("x"), &Reading::default(), answer).unwrap_err()
    };
    let error = fail(r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"},"request_id":"req_1"}"#);
    assert_eq!((error.kind(), error.http_status(), error.is_retryable()), (Kind::Status, 529, true));
    assert!(error.message().contains("busy"));
    let unknown = fail(r#"{"type":"error","error":{"type":"odd_error","message":"?"}}"#);
    assert_eq!((unknown.http_status(), unknown.is_retryable()), (502, false));
    for broken in ["", "<html>", "[]", "{}", r#"{"content": 7}"#] {
        assert_eq!(fail(broken).kind(), Kind::Protocol, "{broken}");
    }
}

/// A client's view of a stream: the joined message, the reason, the usage, and how many chunks were hidden.
#[derive(Debug, PartialEq)]
struct Joined {
    message: Value,
    finish: Value,
    usage: Value,
    hidden: usize,
}

fn join(chunks: &[Chunk]) -> Joined {
    let mut message = Map::new();
    let (mut finish, mut usage, mut hidden) = (Value::Null, Value::Null, 0);
    let mut calls: Vec<Value> = Vec::new();
    for chunk in chunks {
        let value: Value = serde_json::from_slice(&chunk.data).unwrap();
        assert_eq!(value["object"], "chat.completion.chunk");
        hidden += usize::from(chunk.hidden);
        if let Some(told) = value.get("usage") {
            usage = told.clone();
        }
        let Some(choice) = value["choices"].get(0) else { continue };
        assert_eq!(chunk.ends, !choice["finish_reason"].is_null());
        if chunk.ends {
            finish = choice["finish_reason"].clone();
        }
        for (name, value) in choice["delta"].as_object().unwrap() {
            match (name.as_str(), value) {
                ("tool_calls", Value::Array(list)) => {
                    for piece in list {
                        let index = piece["index"].as_u64().unwrap() as usize;
                        if index == calls.len() {
                            calls.push(json!({"id": piece["id"], "type": "function", "function": {"name": piece["function"]["name"], "arguments": ""}}));
                        }
                        let arguments = &mut calls[index]["function"]["arguments"];
                        *arguments = format!(
                            "{}{}",
                            arguments.as_str().unwrap(),
                            piece["function"]["arguments"].as_str().unwrap()
                        )
                        .into();
                    }
                }
                (_, Value::String(text)) if name != "role" => {
                    let before = message.get(name).and_then(Value::as_str).unwrap_or_default();
                    message.insert(name.clone(), format!("{before}{text}").into());
                }
                _ => {
                    message.insert(name.clone(), value.clone());
                }
            }
        }
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    Joined { message: Value::Object(message), finish, usage, hidden }
}

fn stream(reading: &Reading, events: &[Value]) -> (Vec<Chunk>, Box<dyn ReadStream>, bool) {
    let endpoint = endpoint("claude-haiku-4-5");
    let mut reader = reader(reading);
    let mut out = Vec::new();
    let mut broke = false;
    for event in events {
        assert!(!broke);
        broke =
            matches!(reader.read(&endpoint, Bytes::from(event.to_string()), &mut out).unwrap(), ControlFlow::Break(()));
    }
    (out, reader, broke)
}

#[test]
fn the_stream_of_the_format() {
    let events = [
        json!({"type":"message_start","message":{"id":"msg_1","role":"assistant","content":[],"usage":{"input_tokens":40,"cache_read_input_tokens":2,"output_tokens":1}}}),
        json!({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}),
        json!({"type":"ping"}),
        json!({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Owl"}}),
        json!({"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{}}}),
        json!({"type":"content_block_stop","index":0}),
        json!({"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t1","name":"f","input":{}}}),
        json!({"type":"content_block_stop","index":1}),
        json!({"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t2","name":"g","input":{}}}),
        json!({"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}),
        json!({"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"q\": "}}),
        json!({"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1.50}"}}),
        json!({"type":"content_block_stop","index":2}),
        json!({"type":"new_event"}),
        json!({"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":3}}),
        json!({"type":"message_stop"}),
    ];
    let (chunks, reader, broke) = stream(&Reading::default(), &events);
    let joined = join(&chunks);
    assert!(broke && reader.is_complete());
    assert_eq!(joined.message["content"], "Owl");
    assert_eq!(joined.message["tool_calls"][0]["function"], json!({"name": "f", "arguments": "{}"}));
    assert_eq!(joined.message["tool_calls"][1]["function"], json!({"name": "g", "arguments": "{\"q\": 1.50}"}));
    assert_eq!((joined.finish, joined.hidden), (json!("tool_calls"), 1));
    assert_eq!(joined.usage["prompt_tokens"], 42);
    assert_eq!(joined.usage["completion_tokens"], 3);
    assert_eq!(reader.usage().unwrap().completion_tokens, 3);
    assert_eq!((reader.text(), reader.made_chars()), ("Owl", 3 + 1 + 2 + 1 + 11));
    assert!(!chunks[0].content && chunks[1].content);
    // What comes after the end is nobody's.
    let mut more = events.to_vec();
    more.insert(events.len() - 1, events[3].clone());
    assert_eq!(join(&stream(&Reading::default(), &more).0), join(&chunks));
    // Cut before its end mark nothing is complete.
    for cut in 0..events.len() {
        let (_, reader, broke) = stream(&Reading::default(), &events[..cut]);
        assert_eq!((reader.is_complete(), broke), (false, false), "{cut}");
    }
}

#[test]
fn an_error_in_a_stream() {
    let mut reader = reader(&Reading::default());
    let mut fail = |data: &'static str| reader.read(&endpoint("x"), Bytes::from(data), &mut Vec::new()).unwrap_err();
    let error = fail(r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#);
    assert_eq!((error.kind(), error.http_status()), (Kind::Status, 529));
    assert_eq!(fail("[1]").kind(), Kind::Protocol);
    assert_eq!(fail("[DONE]").kind(), Kind::Protocol);
    assert_eq!(fail(r#"{"type":"message_stop"}"#).kind(), Kind::Protocol);
}

#[test]
fn functions_before_tools() {
    let prepared =
        prepare("claude-haiku-4-5", &with(json!({"functions": [{"name": "f", "parameters": {"type": "object"}}]})));
    assert!(prepared.reading.legacy_functions);
    assert_eq!(body(&prepared)["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
    let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}});
    let read = read_with(&prepared.reading, &json!({"content": [call], "stop_reason": "tool_use"}));
    let choice = &read["choices"][0];
    assert_eq!(choice["finish_reason"], "function_call");
    assert_eq!(choice["message"]["function_call"], json!({"name": "f", "arguments": "{\"a\":1}"}));
    let (chunks, ..) = stream(
        &prepared.reading,
        &[
            json!({"type":"content_block_start","index":0,"content_block":call}),
            json!({"type":"content_block_stop","index":0}),
            json!({"type":"message_delta","delta":{"stop_reason":"tool_use"}}),
            json!({"type":"message_stop"}),
        ],
    );
    let deltas: Vec<Value> = chunks
        .iter()
        .map(|chunk| serde_json::from_slice::<Value>(&chunk.data).unwrap()["choices"][0]["delta"].clone())
        .collect();
    assert_eq!(deltas[1], json!({"function_call": {"name": "f", "arguments": ""}}));
    assert_eq!(deltas[2], json!({"function_call": {"arguments": "{\"a\":1}"}}));
}

/// The turn after an answer with thoughts: the tool's result, with or without the fields that hold the proof.
fn next_turn(message: &Value, keep: bool) -> Value {
    let mut message = message.clone();
    if !keep {
        let fields = message.as_object_mut().unwrap();
        fields.shift_remove("thinking_blocks");
        fields.shift_remove("reasoning_content");
    }
    let results: Vec<_> = message["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": "r"}))
        .collect();
    let mut messages = vec![json!({"role": "user", "content": "q"}), message];
    messages.extend(results);
    json!({"model": "x", "messages": messages, "reasoning_effort": "high", "max_tokens": 9000,
        "tools": [{"type": "function", "function": {"name": "f"}}]})
}

#[test]
fn thoughts_go_back_as_they_came() {
    let thought = json!({"type": "thinking", "thinking": "hm", "signature": "sig-back"});
    let hidden = json!({"type": "redacted_thinking", "data": "xx"});
    let call = json!({"type": "tool_use", "id": "toolu_back", "name": "f", "input": {"a": [1, 2]}});
    let answer = json!({"model": "claude-haiku-4-5", "content": [thought, hidden, {"type": "text", "text": "so"}, call], "stop_reason": "tool_use"});
    let message = read_with(&Reading::default(), &answer)["choices"][0]["message"].clone();
    assert_eq!((&message["reasoning_content"], &message["thinking_blocks"]), (&json!("hm"), &json!([thought, hidden])));
    for keep in [true, false] {
        for model in ["claude-haiku-4-5", "claude-opus-4-7"] {
            let sent = sent(model, &next_turn(&message, keep));
            assert_eq!(sent["messages"][1]["content"], json!([thought, hidden, {"type": "text", "text": "so"}, call]));
            assert_ne!(sent["thinking"]["type"], Value::Null, "{model}, {keep}");
        }
        // A model that does not think takes none; one that takes only its own takes none of another's.
        for model in ["claude-3-5-haiku-20241022", "claude-opus-5-5"] {
            let sent = sent(model, &next_turn(&message, keep));
            assert_eq!(sent["messages"][1]["content"], json!([{"type": "text", "text": "so"}, call]), "{model}");
        }
    }
}

#[test]
fn blocks_by_turns_go_back_in_their_order() {
    let thought = |text: &str| json!({"type": "thinking", "thinking": text, "signature": format!("sig-{text}")});
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let text = |text: &str| json!({"type": "text", "text": text});
    let hidden = json!({"type": "redacted_thinking", "data": "xx"});
    let content = json!([
        thought("one"),
        text("I l\u{f6}\u{f6}k "),
        text("first."),
        thought("two"),
        hidden,
        call("toolu_i1"),
        text("And again."),
        thought("three"),
        call("toolu_i2")
    ]);
    let answer = json!({"model": "claude-opus-4-7", "content": content, "stop_reason": "tool_use"});
    let message = read_with(&Reading::default(), &answer)["choices"][0]["message"].clone();
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("I l\u{f6}\u{f6}k first.And again."), &json!("onetwothree"))
    );
    let expected = json!([
        thought("one"),
        text("I l\u{f6}\u{f6}k first."),
        thought("two"),
        hidden,
        call("toolu_i1"),
        text("And again."),
        thought("three"),
        call("toolu_i2")
    ]);
    for keep in [true, false] {
        for model in ["claude-opus-4-7", "claude-haiku-4-5"] {
            assert_eq!(sent(model, &next_turn(&message, keep))["messages"][1]["content"], expected, "{model} {keep}");
        }
    }
    // A list of parts is the same text; the mark stays on the last piece.
    let mark = json!({"type": "ephemeral"});
    let mut listed = message.clone();
    listed["content"] =
        json!([text("I l\u{f6}"), {"type": "text", "text": "\u{f6}k first.And again.", "cache_control": mark}]);
    let content = sent("claude-opus-4-7", &next_turn(&listed, true))["messages"][1]["content"].clone();
    assert_eq!((&content[1], &content[2]), (&text("I l\u{f6}"), &text("\u{f6}k first.")));
    assert_eq!(content[6], json!({"type": "text", "text": "And again.", "cache_control": mark}));
    // A message that was changed since has the usual order, and no trace of the other.
    let mut changed = message.clone();
    changed["content"] = "shorter".into();
    let usual = json!([
        thought("one"),
        thought("two"),
        hidden,
        thought("three"),
        text("shorter"),
        call("toolu_i1"),
        call("toolu_i2")
    ]);
    assert_eq!(sent("claude-opus-4-7", &next_turn(&changed, true))["messages"][1]["content"], usual);
    let mut odd = message;
    for order in [json!("x"), json!([-1]), json!(["other"]), json!([18_446_744_073_709_551_615_u64, 2])] {
        odd["thinking_blocks"][0]["order"] = order;
        let back = sent("claude-opus-4-7", &next_turn(&odd, true))["messages"][1]["content"].clone();
        assert_eq!((back.as_array().unwrap().len(), back[0].get("order")), (7, None));
    }
}

#[test]
fn long_numbers_keep_their_digits_both_ways() {
    let arguments =
        r#"{"id":12345678901234567890123,"ids":[-98765432109876543210987],"x":0.12345678901234567890,"n":7}"#;
    let call = format!(r#"{{"type":"tool_use","id":"toolu_n","name":"f","input":{arguments}}}"#);
    let answer = format!(r#"{{"content":[{call}],"stop_reason":"tool_use"}}"#);
    let answer = Answer { status: 200, headers: Vec::new(), body: Bytes::from(answer) };
    let read = read_answer(&endpoint("claude-haiku-4-5"), &Reading::default(), answer).unwrap();
    let read: Value = serde_json::from_slice(&read.answer.body).unwrap();
    let message = &read["choices"][0]["message"];
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], arguments);
    let sent = prepare("claude-haiku-4-5", &next_turn(message, true)).outgoing.body;
    assert!(std::str::from_utf8(&sent).unwrap().contains(&format!(r#""input":{arguments}"#)));
    // All at once at the beginning of a block of a stream.
    let mut reader = reader(&Reading::default());
    let mut out = Vec::new();
    for event in [
        format!(r#"{{"type":"content_block_start","index":0,"content_block":{call}}}"#),
        r#"{"type":"content_block_stop","index":0}"#.to_owned(),
    ] {
        assert!(reader.read(&endpoint("claude-haiku-4-5"), Bytes::from(event), &mut out).unwrap().is_continue());
    }
    assert_eq!(join(&out).message["tool_calls"][0]["function"]["arguments"], arguments);
}

#[test]
fn without_the_first_thoughts_there_are_none_in_the_loop() {
    let foreign = json!({"role": "assistant", "content": null, "reasoning_content": "mine", "extra_content": {"google": {"thought_signature": "g"}},
        "tool_calls": [{"id": "call_foreign", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let old = prepare("claude-haiku-4-5", &next_turn(&foreign, true));
    assert_eq!((body(&old).get("thinking"), &*dropped(&old)), (None, &["reasoning_effort"][..]));
    let new = prepare("claude-opus-4-7", &next_turn(&foreign, true));
    assert_eq!((body(&new).get("thinking"), &body(&new)["output_config"]["effort"]), (None, &json!("high")));
    assert_eq!(body(&new)["messages"][1]["content"].as_array().unwrap().len(), 1);
    // Once the user has spoken again, it may think.
    let mut over = next_turn(&foreign, true);
    over["messages"]
        .as_array_mut()
        .unwrap()
        .extend([json!({"role": "assistant", "content": "done"}), json!({"role": "user", "content": "more"})]);
    assert_eq!(sent("claude-haiku-4-5", &over)["thinking"]["type"], "enabled");
    // A Claude that called without thinking has lost nothing.
    let call = json!({"type": "tool_use", "id": "toolu_plain", "name": "f", "input": {}});
    let message = read_with(&Reading::default(), &json!({"content": [call], "stop_reason": "tool_use"}))["choices"][0]
        ["message"]
        .clone();
    assert_eq!(sent("claude-opus-4-7", &next_turn(&message, true))["thinking"], json!({"type": "adaptive"}));
    // With a budget the loop has to begin with thoughts; then it goes on without.
    assert_eq!(sent("claude-haiku-4-5", &next_turn(&message, true)).get("thinking"), None);
    let first = json!({"type": "thinking", "thinking": "t", "signature": "sig-first"});
    let begun = json!({"type": "tool_use", "id": "toolu_first", "name": "f", "input": {}});
    let begun = read_with(&Reading::default(), &json!({"content": [first, begun], "stop_reason": "tool_use"}));
    let mut both = next_turn(&begun["choices"][0]["message"], true);
    let more = next_turn(&message, true)["messages"].as_array().unwrap()[1..].to_vec();
    both["messages"].as_array_mut().unwrap().extend(more);
    assert_eq!(sent("claude-haiku-4-5", &both)["thinking"]["type"], "enabled");
    assert_eq!(sent("claude-sonnet-4-5", &both).get("thinking"), None);
}

/// A block of an answer, and the events of a stream that say the same, cut at any places.
fn any_block() -> impl Strategy<Value = (Value, Vec<Value>)> {
    let pieces = |text: String, cuts: Vec<usize>| {
        let chars: Vec<char> = text.chars().collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (chars.len() + 1)).chain([0, chars.len()]).collect();
        at.sort_unstable();
        at.windows(2).map(|pair| chars[pair[0]..pair[1]].iter().collect::<String>()).collect::<Vec<_>>()
    };
    let cuts = || prop::collection::vec(0..100_usize, 0..4);
    prop_oneof![
        ("\\PC{0,20}", cuts()).prop_map(move |(text, cuts)| {
            let deltas = pieces(text.clone(), cuts).into_iter().map(|text| json!({"type": "text_delta", "text": text}));
            (
                json!({"type": "text", "text": text}),
                [json!({"type": "text", "text": ""})].into_iter().chain(deltas).collect(),
            )
        }),
        ("\\PC{1,20}", "[a-z]{4}", cuts()).prop_map(move |(text, signature, cuts)| {
            let deltas =
                pieces(text.clone(), cuts).into_iter().map(|text| json!({"type": "thinking_delta", "thinking": text}));
            let signed = json!({"type": "signature_delta", "signature": signature});
            let start = json!({"type": "thinking", "thinking": "", "signature": ""});
            (
                json!({"type": "thinking", "thinking": text, "signature": signature}),
                [start].into_iter().chain(deltas).chain([signed]).collect(),
            )
        }),
        "[a-z]{1,8}".prop_map(|data| {
            let block = json!({"type": "redacted_thinking", "data": data});
            (block.clone(), vec![block])
        }),
        ("[a-z]{1,8}", "[a-z]{1,4}", prop::collection::vec(("[a-z]{1,3}", "\\PC{0,9}"), 0..3), cuts()).prop_map(
            move |(id, name, fields, cuts)| {
                let input: Map<String, Value> = fields.into_iter().map(|(name, value)| (name, value.into())).collect();
                let text = if input.is_empty() { String::new() } else { Value::Object(input.clone()).to_string() };
                let deltas = pieces(text, cuts)
                    .into_iter()
                    .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}));
                let start = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                (
                    json!({"type": "tool_use", "id": id, "name": name, "input": input}),
                    [start].into_iter().chain(deltas).collect(),
                )
            }
        ),
    ]
}

/// Words that such JSON is made of.
const WORDS: [&str; 26] = [
    "type",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "content",
    "index",
    "content_block",
    "delta",
    "text",
    "text_delta",
    "tool_use",
    "input",
    "input_json_delta",
    "partial_json",
    "thinking",
    "usage",
    "stop_reason",
    "input_tokens",
    "output_tokens",
    "cache_creation",
    "id",
    "name",
    "message",
    "error",
];

proptest! {
    /// However an answer is cut into events, the joined stream is the complete answer.
    #[test]
    fn a_stream_says_what_the_answer_says(blocks in prop::collection::vec(any_block(), 0..5), asked in any::<bool>()) {
        let stop = if blocks.iter().any(|(block, _)| block["type"] == "tool_use") { "tool_use" } else { "end_turn" };
        let usage = json!({"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 5});
        let content: Vec<_> = blocks.iter().map(|(block, _)| block.clone()).collect();
        let reading = Reading { usage_asked: asked, ..Reading::default() };
        let whole = read_with(&reading, &json!({"id": "m", "content": content, "stop_reason": stop, "usage": usage}));
        let mut events = vec![json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 1}}})];
        for (index, (_, parts)) in blocks.iter().enumerate() {
            events.push(json!({"type": "content_block_start", "index": index, "content_block": parts[0]}));
            events.extend(parts[1..].iter().map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})));
            events.push(json!({"type": "content_block_stop", "index": index}));
        }
        events.push(json!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 4}}));
        events.push(json!({"type": "message_stop"}));
        let (chunks, reader, _) = stream(&reading, &events);
        let joined = join(&chunks);
        prop_assert_eq!(joined.hidden, usize::from(!asked));
        prop_assert_eq!(&joined.finish, &whole["choices"][0]["finish_reason"]);
        prop_assert_eq!(&joined.usage, &whole["usage"]);
        let mut message = whole["choices"][0]["message"].clone();
        message.as_object_mut().unwrap().shift_remove("refusal");
        let content = message["content"].as_str().unwrap_or_default().to_owned();
        message["content"] = content.clone().into();
        prop_assert_eq!(reader.text(), content);
        prop_assert_eq!(joined.message, message);
    }

    /// What a model said goes back block by block, in its order: neighbouring texts joined, blank ones left out.
    #[test]
    fn a_message_goes_back_as_it_was_made(blocks in prop::collection::vec(any_block(), 1..7), keep in any::<bool>()) {
        let mut content: Vec<Value> = blocks.into_iter().map(|(block, _)| block).collect();
        for (at, block) in content.iter_mut().enumerate() {
            if block["type"] == "tool_use" {
                block["id"] = format!("toolu_{at}").into();
            }
        }
        let thinks = |block: &Value| block["type"] == "thinking" || block["type"] == "redacted_thinking";
        content.push(json!({"type": "tool_use", "id": "toolu_last", "name": "f", "input": {}}));
        prop_assume!(content.iter().any(thinks));
        let answer = json!({"model": "claude-opus-4-7", "content": content, "stop_reason": "tool_use"});
        let message = read_with(&Reading::default(), &answer)["choices"][0]["message"].clone();
        let mut expected: Vec<Value> = Vec::new();
        for block in content.into_iter().filter(|block| block["text"] != "") {
            match expected.last_mut() {
                Some(last) if last["type"] == "text" && block["type"] == "text" => {
                    last["text"] = format!("{}{}", last["text"].as_str().unwrap(), block["text"].as_str().unwrap()).into();
                }
                _ => expected.push(block),
            }
        }
        expected.retain(|block| block["text"].as_str().is_none_or(|text| !text.trim().is_empty()));
        let back = sent("claude-opus-4-7", &next_turn(&message, keep))["messages"][1]["content"].take();
        prop_assert_eq!(back, Value::from(expected));
    }

    #[test]
    fn nothing_a_server_sends_panics(events in prop::collection::vec(any_json(&WORDS), 0..8)) {
        let mut reader = reader(&Reading { schema_tool: Some("text".to_owned()), ..Reading::default() });
        let mut out = Vec::new();
        for event in &events {
            let body = Bytes::from(event.to_string());
            let _ = read_answer(&endpoint("x"), &Reading::default(), Answer { status: 200, headers: Vec::new(), body: body.clone() });
            if matches!(reader.read(&endpoint("x"), body, &mut out), Ok(ControlFlow::Break(())) | Err(_)) {
                break;
            }
        }
        for chunk in &out {
            prop_assert!(serde_json::from_slice::<Value>(&chunk.data).is_ok());
        }
        let _ = (reader.usage(), reader.made_chars());
    }
}

#[test]
fn counts_that_are_none_are_not_told() {
    let usage = json!({"input_tokens": 7, "cache_read_input_tokens": 9_007_199_254_740_992_u64, "output_tokens": 1e300,
        "output_tokens_details": {"thinking_tokens": 5}});
    let read = read_with(&Reading::default(), &json!({"content": [], "usage": usage}))["usage"].take();
    assert_eq!((&read["prompt_tokens"], &read["completion_tokens"]), (&json!(7), &json!(0)));
    assert_eq!(read["prompt_tokens_details"]["cached_tokens"], 0);
    assert_eq!(read["completion_tokens_details"]["reasoning_tokens"], 0);
}
