use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::{Answer, Kind};
use crate::providers::{Asked, ChatRequest, resolve};

fn read(request: &Value) -> Result<Inbound> {
    Anthropic.read(request.to_string().into())
}

fn shaped(request: &Value) -> Value {
    serde_json::from_slice(&read(request).unwrap().body).unwrap()
}

fn asking(more: Value) -> Value {
    let mut request = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let (Some(fields), Value::Object(more)) = (request.as_object_mut(), more) else { panic!("no object") };
    fields.extend(more);
    request
}

#[test]
fn a_conversation_with_tools() {
    let request = json!({
        "model": "router-local-0.5", "max_tokens": 300, "stream": true, "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "text", "text": "Which animal?"}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "an owl", "signature": "c2ln"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"q": 12_345_678_901_234_567_890_123_f64}}]},
            {"role": "user", "content": [
                {"type": "text", "text": "go on"},
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "a bird"}]}]}],
        "tools": [{"name": "lookup", "description": "d", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "stop_sequences": ["END"], "temperature": 0.5, "top_k": 4, "metadata": {"user_id": "u1"}, "service_tier": "standard_only",
    });
    let made = shaped(&request);
    assert_eq!(
        made,
        json!({
            "model": "router-local-0.5",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "text", "text": "Which animal?"}]},
                {"role": "assistant", "content": "Let me look.",
                 "thinking_blocks": [{"thinking": "an owl", "signature": "c2ln", "type": "thinking"}],
                 "tool_calls": [{"id": "toolu_1", "type": "function", "function": {"name": "lookup", "arguments": made["messages"][2]["tool_calls"][0]["function"]["arguments"]}}]},
                {"role": "tool", "tool_call_id": "toolu_1", "content": "a bird"},
                {"role": "user", "content": "go on"}],
            "max_tokens": 300, "temperature": 0.5, "stop": ["END"],
            "tools": [{"type": "function", "function": {"name": "lookup", "description": "d", "parameters": {"type": "object"}}, "cache_control": {"type": "ephemeral"}}],
            "tool_choice": "required", "parallel_tool_calls": false, "user": "u1", "service_tier": "default",
            "stream": true, "stream_options": {"include_usage": true}, "top_k": 4,
        })
    );
}

#[test]
fn inputs_of_tools_keep_their_digits() {
    let body = r#"{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"id":12345678901234567890123}}]}]}"#;
    let made = Anthropic.read(Bytes::from_static(body.as_bytes())).unwrap().body;
    let made: Value = serde_json::from_slice(&made).unwrap();
    let call = &made["messages"][0]["tool_calls"][0]["function"];
    assert_eq!(call["arguments"], r#"{"id":12345678901234567890123}"#);
    assert_eq!(made["messages"][0]["content"], Value::Null);
    // Elsewhere below that name they stay numbers.
    let tools = r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[{"name":"f","input_schema":{"type":"object","properties":{"input":{"maximum":12345678901234567890123}}}}]}"#;
    let made = Anthropic.read(Bytes::from_static(tools.as_bytes())).unwrap().body;
    assert!(String::from_utf8_lossy(&made).contains(r#""maximum":12345678901234567890123"#));
}

#[test]
fn what_both_know_comes_back_the_same() {
    // From a caller to the neutral shape, and on to the model of the very same protocol.
    let request = json!({
        "model": "claude-haiku-4-5", "max_tokens": 3000,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}},
                {"type": "text", "text": "Which animal?", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "an owl", "signature": "c2ln"},
                {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"q": "owl"}},
                {"type": "thinking", "thinking": "and more", "signature": "c2lo"},
                {"type": "text", "text": "Once more."},
                {"type": "tool_use", "id": "toolu_2", "name": "lookup", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a bird"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "And now?"}]}],
        "tools": [{"name": "lookup", "description": "find", "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 1500},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false}}},
        "stop_sequences": ["END"], "metadata": {"user_id": "u1"}, "service_tier": "auto",
    });
    let asked = Asked { api_key: Some("k".to_owned().into()), ..Asked::default() };
    let endpoint = resolve("anthropic/claude-haiku-4-5", &asked, &|_| None).unwrap();
    let inner = ChatRequest::new(read(&request).unwrap().body);
    let prepared = endpoint.dialect.chat(&endpoint, &inner, false).unwrap();
    let sent: Value = serde_json::from_slice(&prepared.outgoing.body).unwrap();
    assert_eq!(sent, request);
    assert_eq!(prepared.dropped, []);
}

#[test]
fn thinking_has_an_effort_for_models_without_budgets() {
    let effort = |more: Value| shaped(&asking(more))["reasoning_effort"].clone();
    assert_eq!(effort(json!({"thinking": {"type": "enabled", "budget_tokens": 1024}})), "low");
    assert_eq!(effort(json!({"thinking": {"type": "enabled", "budget_tokens": 30_000}})), "high");
    assert_eq!(effort(json!({"thinking": {"type": "disabled"}})), "none");
    assert_eq!(effort(json!({"output_config": {"effort": "max"}})), "max");
    assert_eq!(effort(json!({"thinking": {"type": "adaptive"}})), Value::Null);
    let open = json!({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {}}}}}});
    assert_eq!(shaped(&asking(open))["response_format"]["json_schema"]["strict"], Value::Null);
    let long = shaped(&asking(json!({"metadata": {"user_id": "u".repeat(65)}})));
    assert_eq!(long["user"].as_str().map(str::len), Some(32));
}

#[test]
fn what_is_wrong_is_told_by_its_place() {
    let with = |content: Value| asking(json!({"messages": [{"role": "user", "content": content}]}));
    for (request, named) in [
        (json!({"max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}), "model"),
        (json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}), "max_tokens"),
        (asking(json!({"max_tokens": 0})), "max_tokens"),
        (asking(json!({"messages": []})), "messages"),
        (asking(json!({"messages": "hi"})), "messages"),
        (asking(json!({"messages": [{"role": "robot", "content": "x"}]})), "messages[0]"),
        (asking(json!({"messages": [{"role": "user"}]})), "messages[0].content"),
        (with(json!([{"type": "text"}])), "messages[0].content[0].text"),
        (with(json!([{"type": "sound"}])), "messages[0].content[0]"),
        (with(json!([{"type": "image", "source": {"type": "file", "file_id": "f"}}])), "messages[0].content[0]"),
        (with(json!([{"type": "tool_result", "content": "x"}])), "messages[0].content[0].tool_use_id"),
        (asking(json!({"tools": [{"name": "f"}]})), "tools[0].input_schema"),
        (asking(json!({"tool_choice": {"type": "maybe"}})), "tool_choice.type"),
        (asking(json!({"system": 3})), "system"),
        (asking(json!({"system": [{"type": "image"}]})), "system[0]"),
        (asking(json!({"stream": "yes"})), "stream"),
        (asking(json!({"ferroute": {"x": 1}})), "ferroute"),
    ] {
        let Err(error) = read(&request) else { panic!("{request} was not refused") };
        assert_eq!((failing::param(&error), error.http_status()), (Some(named), 400), "{error}");
    }
}

#[test]
fn tokens_are_estimated() {
    let counted = count_tokens(
        json!({"model": "m", "messages": [{"role": "user", "content": "x".repeat(400)}]}).to_string().as_bytes(),
    );
    assert_eq!(counted.unwrap(), r#"{"input_tokens":104}"#);
    assert!(count_tokens(b"{}").is_err());
}

const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-5","choices":[{"index":0,"finish_reason":"tool_calls",
    "message":{"role":"assistant","content":"Let me look.","reasoning_content":"an owl","tool_calls":[
        {"id":"call_1","type":"function","function":{"name":"lookup","arguments":"{\"id\":12345678901234567890123}"}},
        {"id":"call_2","type":"function","function":{"name":"lookup","arguments":"not json"}}]}}],
    "usage":{"prompt_tokens":120,"completion_tokens":45,"prompt_tokens_details":{"cached_tokens":64,"cache_write_tokens":6},"completion_tokens_details":{"reasoning_tokens":30}}}"#;

#[test]
fn a_completion_is_a_message() {
    let made = answer::message(ANSWER.as_bytes(), true).unwrap();
    assert!(String::from_utf8_lossy(&made).contains(r#""input":{"id":12345678901234567890123}"#));
    let made: Value = serde_json::from_slice(&made).unwrap();
    assert_eq!(made["content"][0], json!({"type": "thinking", "thinking": "an owl", "signature": ""}));
    assert_eq!(made["content"][1], json!({"type": "text", "text": "Let me look."}));
    assert_eq!(made["content"][3]["input"], json!({"arguments": "not json"}));
    assert_eq!(
        (&made["stop_reason"], &made["id"], &made["role"]),
        (&json!("tool_use"), &json!("msg_chatcmpl-1"), &json!("assistant"))
    );
    assert_eq!(
        made["usage"],
        json!({"input_tokens": 50, "cache_creation_input_tokens": 6, "cache_read_input_tokens": 64, "output_tokens": 45,
               "output_tokens_details": {"thinking_tokens": 30}})
    );
    let silent = answer::message(ANSWER.as_bytes(), false).unwrap();
    let silent: Value = serde_json::from_slice(&silent).unwrap();
    assert_eq!(silent["content"][0]["type"], "text", "thoughts that nobody asked for and nothing proves are not shown");
}

#[test]
fn why_it_ended() {
    let reason = |choice: Value| {
        let whole = json!({"choices": [choice]});
        let made = answer::message(whole.to_string().as_bytes(), false).unwrap();
        serde_json::from_slice::<Value>(&made).unwrap()["stop_reason"].clone()
    };
    assert_eq!(reason(json!({"message": {"content": "x"}, "finish_reason": "stop"})), "end_turn");
    assert_eq!(reason(json!({"message": {"content": "x"}, "finish_reason": "length"})), "max_tokens");
    assert_eq!(reason(json!({"message": {"refusal": "no"}, "finish_reason": "stop"})), "refusal");
    assert_eq!(
        reason(json!({"message": {"content": "x"}, "finish_reason": "stop", "native_finish_reason": "stop_sequence"})),
        "stop_sequence"
    );
    assert_eq!(
        reason(json!({"message": {"content": "x"}, "finish_reason": "stop", "native_finish_reason": "STOP"})),
        "end_turn"
    );
    assert_eq!(answer::message(b"{\"choices\":[]}", true).unwrap_err().kind(), Kind::Protocol);
}

#[expect(clippy::needless_pass_by_value, reason = "made by `json!` where it is called")]
fn chunk(delta: Value, finish: Option<&str>) -> String {
    json!({"id": "c1", "model": "gpt-5", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        .to_string()
}

/// The events of a stream of chunks.
fn events(thinks: bool, chunks: &[String]) -> Vec<Value> {
    let mut events = stream::Events::new(thinks);
    let mut out = BytesMut::new();
    for chunk in chunks {
        events.chunk(chunk.as_bytes(), &mut out);
    }
    events.end(&mut out);
    read_events(&out)
}

fn read_events(out: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(out).unwrap();
    let one = |event: &str| {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        data
    };
    text.split_terminator("\n\n").map(one).collect()
}

/// What a client makes of events: every block is begun, told and ended once, and nothing is told outside of one.
fn joined(events: &[Value]) -> Value {
    let mut message = Value::Null;
    let mut open: Vec<u64> = Vec::new();
    let mut inputs: Vec<String> = Vec::new();
    for event in events {
        let at = || event["index"].as_u64().unwrap();
        match event["type"].as_str().unwrap() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(at(), content.len() as u64);
                content.push(event["content_block"].clone());
                inputs.push(String::new());
                open.push(at());
            }
            "content_block_delta" => {
                assert!(open.contains(&at()), "{event}");
                let block = &mut message["content"][at() as usize];
                let delta = &event["delta"];
                let (field, piece) = match delta["type"].as_str().unwrap() {
                    "text_delta" => ("text", &delta["text"]),
                    "thinking_delta" => ("thinking", &delta["thinking"]),
                    "signature_delta" => ("signature", &delta["signature"]),
                    _ => {
                        inputs[at() as usize].push_str(delta["partial_json"].as_str().unwrap());
                        continue;
                    }
                };
                block[field] = format!("{}{}", block[field].as_str().unwrap(), piece.as_str().unwrap()).into();
            }
            "content_block_stop" => {
                assert!(open.contains(&at()), "{event}");
                open.retain(|index| *index != at());
                let input = &inputs[at() as usize];
                if !input.is_empty() {
                    message["content"][at() as usize]["input"] =
                        serde_json::from_str(input).unwrap_or_else(|_| input.as_str().into());
                }
            }
            "message_delta" => {
                assert!(open.is_empty(), "blocks are closed before the end");
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["usage"] = event["usage"].clone();
                if let Some(told) = event.get("ferroute") {
                    message["ferroute"] = told.clone();
                }
            }
            _ => {}
        }
    }
    message
}

fn call(index: u64, id: Option<&str>, name: Option<&str>, arguments: &str) -> Value {
    json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]})
}

#[test]
fn a_stream_is_a_message_in_pieces() {
    let usage = json!({"id": "c1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}, "ferroute": {"model": "x"}});
    let all = events(
        false,
        &[
            chunk(json!({"role": "assistant", "content": ""}), None),
            chunk(json!({"reasoning_content": "hm"}), None),
            chunk(json!({"content": "Let me"}), None),
            chunk(json!({"content": " look."}), None),
            chunk(call(0, Some("a"), Some("lookup"), ""), None),
            chunk(call(0, None, None, r#"{"q":"#), None),
            chunk(call(0, None, None, r#""owl"}"#), None),
            chunk(call(1, Some("b"), Some("other"), "{}"), None),
            chunk(json!({}), Some("tool_calls")),
            usage.to_string(),
        ],
    );
    let kinds: Vec<&str> = all.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert_eq!(
        joined(&all),
        json!({
            "id": "msg_c1", "type": "message", "role": "assistant", "model": "gpt-5", "stop_reason": "tool_use", "stop_sequence": null,
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "a", "name": "lookup", "input": {"q": "owl"}},
                {"type": "tool_use", "id": "b", "name": "other", "input": {}}],
            "usage": {"input_tokens": 9, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 4},
            "ferroute": {"model": "x"},
        })
    );
}

#[test]
fn calls_that_come_by_turns_are_told_one_after_the_other() {
    let all = events(
        false,
        &[
            chunk(call(0, Some("a"), Some("f"), r#"{"x":"#), None),
            chunk(call(1, Some("b"), Some("g"), r#"{"y":"#), None),
            chunk(call(0, None, None, "1}"), None),
            chunk(call(1, None, None, "2}"), None),
            chunk(json!({}), Some("tool_calls")),
        ],
    );
    let content = joined(&all)["content"].clone();
    assert_eq!((&content[0]["input"], &content[1]["input"]), (&json!({"x": 1}), &json!({"y": 2})));
}

#[test]
fn thoughts_get_their_proofs() {
    let proof =
        |thinking: &str| json!({"thinking_blocks": [{"type": "thinking", "thinking": thinking, "signature": "c2ln"}]});
    let chunks = |proof: Value| {
        [
            chunk(json!({"reasoning_content": "an "}), None),
            chunk(json!({"reasoning_content": "owl"}), None),
            chunk(json!({"content": "Owl."}), None),
            chunk(proof, None),
            chunk(json!({}), Some("stop")),
        ]
    };
    let content = joined(&events(true, &chunks(proof("an owl"))))["content"].clone();
    assert_eq!(
        content,
        json!([{"type": "thinking", "thinking": "an owl", "signature": "c2ln"}, {"type": "text", "text": "Owl."}])
    );
    let other = joined(&events(true, &chunks(proof("something else"))))["content"].clone();
    assert_eq!(other[0]["signature"], "", "a proof of other words would be refused when it comes back");
    let unasked = joined(&events(false, &chunks(proof("an owl"))))["content"].clone();
    assert_eq!(unasked[1], json!({"type": "thinking", "thinking": "an owl", "signature": "c2ln"}));
}

#[test]
fn errors_are_told_as_anthropic_tells_them() {
    let told =
        |error: &Error| -> Value { serde_json::from_slice(&Anthropic.failure(error.http_status(), error)).unwrap() };
    let wrong = told(&failing::bad("model", "no"));
    assert_eq!(
        wrong,
        json!({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}, "request_id": null})
    );
    let answer =
        Answer { status: 429, headers: Vec::new(), body: Bytes::from_static(br#"{"error":{"message":"slow down"}}"#) };
    assert_eq!(told(&Error::status("x", answer))["error"], json!({"type": "rate_limit_error", "message": "slow down"}));
    let mut out = BytesMut::new();
    Messages(stream::Events::new(false)).broken(&Error::new(Kind::Timeout, "late"), &mut out);
    assert_eq!(read_events(&out)[0]["error"]["type"], "timeout_error");
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("text"),
        Just("image"),
        Just("tool_use"),
        Just("tool_result"),
        Just("thinking"),
        Just("document"),
        Just("base64"),
        Just("url"),
        Just("content"),
        Just("user"),
        Just("assistant"),
        Just("x")
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        word.prop_map(Into::into)
    ];
    let name = prop_oneof![
        Just("type"),
        Just("text"),
        Just("content"),
        Just("source"),
        Just("id"),
        Just("name"),
        Just("input"),
        Just("role"),
        Just("tool_use_id"),
        Just("data"),
        Just("media_type"),
        Just("thinking"),
        Just("signature"),
        Just("messages"),
        Just("system"),
        Just("tools"),
        Just("tool_choice"),
        Just("stream"),
        Just("ferroute"),
        Just("cache_control")
    ];
    leaf.prop_recursive(4, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..5).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(content in any_json(), more in any_json()) {
        for request in [asking(json!({"messages": [{"role": "user", "content": content}]})), asking(json!({"messages": [{"role": "assistant", "content": content}]})), asking(json!({"tools": [more], "system": content})), more.clone()] {
            match read(&request) {
                Ok(inbound) => {
                    let body: Value = serde_json::from_slice(&inbound.body).unwrap();
                    prop_assert!(body["messages"].as_array().is_some_and(|list| !list.is_empty()));
                }
                Err(error) => prop_assert_eq!(error.http_status(), 400),
            }
        }
    }

    #[test]
    fn whatever_is_answered_is_a_message(deltas in prop::collection::vec(any_json(), 0..5), thinks in any::<bool>()) {
        let chunks: Vec<String> = deltas.iter().map(|delta| chunk(delta.clone(), None)).collect();
        joined(&events(thinks, &chunks));
        for delta in deltas {
            let whole = json!({"choices": [{"message": delta}]});
            let _ = answer::message(whole.to_string().as_bytes(), thinks);
        }
    }

    /// However a call's arguments and a text are cut, they are the same message.
    #[test]
    fn pieces_make_no_difference(text in "[a-zé ]{1,12}", value in "[a-zé\"\\\\]{0,9}", cut in 1..7_usize) {
        let arguments = json!({"q": value}).to_string();
        let pieces = |whole: &str| -> Vec<String> {
            let chars: Vec<char> = whole.chars().collect();
            chars.chunks(cut).map(|piece| piece.iter().collect()).collect()
        };
        let mut chunks: Vec<String> = pieces(&text).iter().map(|piece| chunk(json!({"content": piece}), None)).collect();
        chunks.push(chunk(call(0, Some("a"), Some("f"), ""), None));
        chunks.extend(pieces(&arguments).iter().map(|piece| chunk(call(0, None, None, piece), None)));
        chunks.push(chunk(json!({}), Some("tool_calls")));
        let content = joined(&events(false, &chunks))["content"].clone();
        prop_assert_eq!(content, json!([{"type": "text", "text": text}, {"type": "tool_use", "id": "a", "name": "f", "input": {"q": value}}]));
    }
}
