use bytes::BytesMut;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::gateway::protocol::failing;

fn read(request: &Value) -> Result<Inbound> {
    Responses.read(request.to_string().into())
}

fn shaped(request: &Value) -> Value {
    serde_json::from_slice(&read(request).unwrap().body).unwrap()
}

fn asking(more: Value) -> Value {
    let mut request = json!({"model": "m", "input": "hi"});
    let (Some(fields), Value::Object(more)) = (request.as_object_mut(), more) else { panic!("no object") };
    fields.extend(more);
    request
}

#[test]
fn a_conversation_with_tools() {
    let made = shaped(&json!({
        "model": "router-local-0.5", "instructions": "Be brief.", "stream": true, "store": true, "max_output_tokens": 9,
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Which"}, {"type": "input_text", "text": "animal?"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": [{"type": "output_text", "text": "Let me look.", "annotations": []}]},
            {"type": "function_call", "call_id": "a", "name": "lookup", "arguments": "{}"},
            {"type": "function_call", "call_id": "b", "name": "lookup", "arguments": "{\"q\":1}"},
            {"type": "function_call_output", "call_id": "a", "output": "a bird"},
            {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "an owl"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "this"}, {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "low"}]}],
        "tools": [{"type": "function", "name": "lookup", "parameters": {"type": "object"}, "strict": true}],
        "tool_choice": {"type": "function", "name": "lookup"}, "parallel_tool_calls": false,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"}, "temperature": 0.5, "metadata": {"team": "x"}, "truncation": "disabled", "top_p": null,
    }));
    assert_eq!(
        made,
        json!({
            "model": "router-local-0.5",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Which\nanimal?"},
                {"role": "assistant", "content": "Let me look.", "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "lookup", "arguments": "{}"}},
                    {"id": "b", "type": "function", "function": {"name": "lookup", "arguments": "{\"q\":1}"}}]},
                {"role": "tool", "tool_call_id": "a", "content": "a bird"},
                {"role": "tool", "tool_call_id": "b", "content": "an owl"},
                {"role": "user", "content": [{"type": "text", "text": "this"}, {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "low"}}]}],
            "max_tokens": 9,
            "tools": [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}, "strict": true}}],
            "tool_choice": {"type": "function", "function": {"name": "lookup"}}, "parallel_tool_calls": false,
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
            "verbosity": "low", "reasoning_effort": "low", "temperature": 0.5, "metadata": {"team": "x"},
            "stream": true, "stream_options": {"include_usage": true},
        })
    );
}

#[test]
fn choices_and_custom_tools() {
    let choice = |choice: Value| shaped(&asking(json!({"tool_choice": choice})))["tool_choice"].clone();
    assert_eq!(choice(json!("required")), "required");
    let allowed =
        choice(json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}));
    assert_eq!(
        allowed,
        json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}})
    );
    let tool =
        json!({"type": "custom", "name": "f", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}});
    let made = shaped(&asking(json!({"tools": [tool]})))["tools"][0].clone();
    assert_eq!(
        made,
        json!({"type": "custom", "custom": {"name": "f", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}})
    );
}

#[test]
fn what_needs_a_memory_and_what_is_wrong_is_told_by_its_place() {
    for (request, named) in [
        (asking(json!({"previous_response_id": "resp_1"})), "previous_response_id"),
        (asking(json!({"conversation": "conv_1"})), "conversation"),
        (asking(json!({"background": true})), "background"),
        (asking(json!({"prompt": {"id": "p"}})), "prompt"),
        (asking(json!({"tools": [{"type": "web_search"}]})), "tools[0]"),
        (asking(json!({"tools": [{"type": "function"}]})), "tools[0].name"),
        (asking(json!({"tool_choice": {"type": "file_search"}})), "tool_choice"),
        (asking(json!({"tool_choice": "maybe"})), "tool_choice"),
        (asking(json!({"input": []})), "input"),
        (asking(json!({"input": null})), "input"),
        (asking(json!({"input": ["hi"]})), "input[0]"),
        (asking(json!({"input": [{"type": "item_reference", "id": "x"}]})), "input[0]"),
        (asking(json!({"input": [{"type": "web_search_call"}]})), "input[0]"),
        (asking(json!({"input": [{"role": "robot", "content": "x"}]})), "input[0].role"),
        (asking(json!({"input": [{"role": "user", "content": [{"type": "x"}]}]})), "input[0].content[0]"),
        (
            asking(json!({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]})),
            "input[0].content[0].image_url",
        ),
        (asking(json!({"text": {"format": {"type": "xml"}}})), "text.format"),
        (asking(json!({"model": 3})), "model"),
    ] {
        let Err(error) = read(&request) else { panic!("{request} was not refused") };
        assert_eq!((failing::param(&error), error.http_status()), (Some(named), 400), "{error}");
    }
    // What only looks like it is no reason.
    assert!(read(&asking(json!({"previous_response_id": null, "background": false, "conversation": null}))).is_ok());
}

fn frame() -> answer::Frame {
    let echo = json!({"temperature": 0.5, "tools": [{"type": "function", "name": "f"}], "instructions": "Be brief."});
    answer::Frame::new(echo.as_object().unwrap().clone())
}

const ANSWER: &str = r#"{"id":"chatcmpl-1","model":"gpt-5","choices":[{"index":0,"finish_reason":"tool_calls","logprobs":null,
    "message":{"role":"assistant","content":"Let me look.","reasoning_content":"an owl","tool_calls":[
        {"id":"call_1","type":"function","function":{"name":"lookup","arguments":"{}"}}]}}],
    "usage":{"prompt_tokens":120,"completion_tokens":45,"total_tokens":165,"prompt_tokens_details":{"cached_tokens":64}}}"#;

#[test]
fn a_completion_is_a_response() {
    let made: Value = serde_json::from_slice(&answer::response(ANSWER.as_bytes(), &mut frame()).unwrap()).unwrap();
    let kinds: Vec<&str> =
        made["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call"]);
    assert_eq!(made["output"][1]["content"][0]["text"], "Let me look.");
    assert_eq!((&made["output"][2]["call_id"], &made["output"][2]["arguments"]), (&json!("call_1"), &json!("{}")));
    assert_eq!(
        (&made["status"], &made["store"], &made["temperature"]),
        (&json!("completed"), &json!(false), &json!(0.5))
    );
    assert_eq!(
        made["usage"],
        json!({"input_tokens": 120, "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0}, "output_tokens": 45,
               "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 165})
    );
    let cut = ANSWER.replace("\"tool_calls\",\"logprobs\"", "\"length\",\"logprobs\"");
    let cut: Value = serde_json::from_slice(&answer::response(cut.as_bytes(), &mut frame()).unwrap()).unwrap();
    assert_eq!(
        (&cut["status"], &cut["incomplete_details"]),
        (&json!("incomplete"), &json!({"reason": "max_output_tokens"}))
    );
}

#[expect(clippy::needless_pass_by_value, reason = "made by `json!` where it is called")]
fn chunk(delta: Value, finish: Option<&str>) -> String {
    json!({"id": "c1", "model": "gpt-5", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        .to_string()
}

fn call(index: u64, id: Option<&str>, name: Option<&str>, arguments: &str) -> Value {
    json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]})
}

fn events(chunks: &[String]) -> Vec<Value> {
    let mut events = stream::Events::new(frame());
    let mut out = BytesMut::new();
    for chunk in chunks {
        events.chunk(chunk.as_bytes(), &mut out);
    }
    events.end(&mut out);
    read_events(&out)
}

fn read_events(out: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(out).unwrap();
    let one = |(number, event): (usize, &str)| {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        assert_eq!(data["sequence_number"].as_u64(), Some(number as u64));
        data
    };
    text.split_terminator("\n\n").enumerate().map(one).collect()
}

/// The response at the end, after a check that its items were told so: each begun, told in pieces, ended once.
fn checked(events: &[Value]) -> Value {
    let mut items: Vec<Value> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    for event in events {
        let at = event["output_index"].as_u64().unwrap_or(0) as usize;
        let kind = event["type"].as_str().unwrap();
        match kind {
            "response.output_item.added" => {
                assert_eq!(at, items.len());
                items.push(Value::Null);
                texts.push(String::new());
            }
            "response.output_item.done" => {
                assert!(items[at].is_null(), "ended twice");
                items[at] = event["item"].clone();
            }
            _ if kind.strip_suffix(".delta").is_some() => {
                assert!(items[at].is_null(), "told after its end");
                texts[at].push_str(event["delta"].as_str().unwrap());
            }
            _ => {}
        }
    }
    let last = events.last().unwrap();
    let response = last["response"].clone();
    assert_eq!(response["output"], Value::Array(items.clone()), "the end has the items as they were told");
    for (item, text) in items.iter().zip(texts) {
        let parts = |list: &Value| -> String {
            let said = |part: &Value| part["text"].as_str().or(part["refusal"].as_str()).unwrap_or_default().to_owned();
            list.as_array().into_iter().flatten().map(said).collect()
        };
        let whole = match item["type"].as_str().unwrap() {
            "message" => parts(&item["content"]),
            "reasoning" => parts(&item["summary"]),
            "custom_tool_call" => item["input"].as_str().unwrap().to_owned(),
            _ => item["arguments"].as_str().unwrap().to_owned(),
        };
        assert_eq!(whole, text);
    }
    response
}

#[test]
fn a_stream_is_a_response_in_pieces() {
    let usage =
        json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}, "ferroute": {"model": "x"}});
    let all = events(&[
        chunk(json!({"role": "assistant", "content": ""}), None),
        chunk(json!({"reasoning_content": "hm"}), None),
        chunk(json!({"content": "Let me"}), None),
        chunk(json!({"content": " look."}), None),
        chunk(call(0, Some("a"), Some("f"), ""), None),
        chunk(call(1, Some("b"), Some("g"), r#"{"y""#), None),
        chunk(call(0, None, None, r#"{"x":1}"#), None),
        chunk(call(1, None, None, ":2}"), None),
        chunk(json!({}), Some("tool_calls")),
        usage.to_string(),
    ]);
    let kinds: Vec<&str> =
        all.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect();
    assert_eq!(
        kinds,
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "function_call_arguments.done",
            "output_item.done",
            "completed"
        ]
    );
    let response = checked(&all);
    assert_eq!(
        (&response["output"][2]["arguments"], &response["output"][3]["arguments"]),
        (&json!(r#"{"x":1}"#), &json!(r#"{"y":2}"#))
    );
    assert_eq!((&response["usage"]["input_tokens"], &response["ferroute"]), (&json!(9), &json!({"model": "x"})));
    let id = &all[0]["response"]["id"];
    assert!(all.iter().filter_map(|event| event.get("response")).all(|response| response["id"] == *id));
}

#[test]
fn text_and_refusal_are_parts_of_one_message() {
    let all = events(&[
        chunk(json!({"content": "Well, "}), None),
        chunk(json!({"refusal": "no."}), None),
        chunk(json!({}), Some("content_filter")),
    ]);
    let response = checked(&all);
    let kinds: Vec<&Value> =
        response["output"][0]["content"].as_array().unwrap().iter().map(|part| &part["type"]).collect();
    assert_eq!(kinds, ["output_text", "refusal"]);
    assert_eq!(response["status"], "incomplete");
}

#[test]
fn a_broken_stream_says_so() {
    let mut events = stream::Events::new(frame());
    let mut out = BytesMut::new();
    events.chunk(chunk(json!({"content": "Well"}), None).as_bytes(), &mut out);
    events.broken(&Error::new(crate::Kind::Timeout, "late"), &mut out);
    let all = read_events(&out);
    let failed = &all[all.len() - 2];
    assert_eq!((&failed["type"], &failed["response"]["status"]), (&json!("response.failed"), &json!("failed")));
    assert_eq!(all[all.len() - 1]["error"]["message"], "late");
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("message"),
        Just("function_call"),
        Just("function_call_output"),
        Just("custom_tool_call"),
        Just("input_text"),
        Just("input_image"),
        Just("user"),
        Just("assistant"),
        Just("function"),
        Just("custom"),
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
        Just("role"),
        Just("call_id"),
        Just("name"),
        Just("arguments"),
        Just("output"),
        Just("input"),
        Just("tools"),
        Just("format"),
        Just("refusal"),
        Just("reasoning_content"),
        Just("tool_calls"),
        Just("function"),
        Just("index"),
        Just("id")
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
    fn whatever_comes_is_read_or_refused(one in any_json(), more in any_json()) {
        for request in [asking(json!({"input": [one, more]})), asking(json!({"tools": [one], "text": more})), asking(json!({"tool_choice": one})), more.clone()] {
            match read(&request) {
                Ok(inbound) => {
                    let body: Value = serde_json::from_slice(&inbound.body).unwrap();
                    prop_assert!(body["messages"].is_array());
                }
                Err(error) => prop_assert_eq!(error.http_status(), 400),
            }
        }
    }

    #[test]
    fn whatever_is_answered_is_a_response(deltas in prop::collection::vec(any_json(), 0..5)) {
        let chunks: Vec<String> = deltas.iter().map(|delta| chunk(delta.clone(), None)).collect();
        checked(&events(&chunks));
        for delta in deltas {
            let whole = json!({"choices": [{"message": delta}]});
            let _ = answer::response(whole.to_string().as_bytes(), &mut frame());
        }
    }
}
