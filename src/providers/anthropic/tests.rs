use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::providers::{Asked, resolve};

mod answers;
mod requests;

use answers::read_with;

fn endpoint(model: &str) -> Endpoint {
    let asked = Asked {
        api_base: Some("http://h:1".into()),
        api_key: Some("sk-ant-1234567890".to_owned().into()),
        ..Asked::default()
    };
    resolve(&format!("anthropic/{model}"), &asked, &|_| None).unwrap()
}

fn prepare(model: &str, request: &Value) -> Prepared {
    let request = ChatRequest::new(serde_json::to_vec(request).unwrap());
    chat(&endpoint(model), &request, false).unwrap()
}

fn body(prepared: &Prepared) -> Value {
    serde_json::from_slice(&prepared.outgoing.body).unwrap()
}

fn sent(model: &str, request: &Value) -> Value {
    body(&prepare(model, request))
}

/// With one message of the user's.
fn with(more: Value) -> Value {
    let mut request = json!({"model": "x", "messages": [{"role": "user", "content": "hi"}]});
    let Value::Object(more) = more else { panic!("{more}") };
    request.as_object_mut().unwrap().extend(more);
    request
}

fn dropped(prepared: &Prepared) -> Vec<&str> {
    prepared.dropped.iter().map(|dropped| dropped.parameter.as_str()).collect()
}

fn version(prepared: &Prepared) -> &str {
    prepared.outgoing.headers["anthropic-version"].to_str().unwrap()
}

#[test]
fn the_example_of_the_format() {
    let prepared = prepare(
        "claude-haiku-4-5",
        &json!({
            "model": "x", "max_tokens": 300, "stop": ["END", " "], "user": "u",
            "messages": [
                {"role": "system", "content": "Answer in one word."},
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, {"type": "text", "text": "Which animal?"}]},
                {"role": "developer", "content": "Be kind."},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "toolu_1", "type": "function", "function": {"name": "lookup", "arguments": "{\"q\": \"owl\"}"}}]},
                {"role": "tool", "tool_call_id": "toolu_1", "content": "a bird"},
            ],
            "tools": [{"type": "function", "function": {"name": "lookup", "description": "find a fact", "strict": true, "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}}],
            "tool_choice": "auto", "parallel_tool_calls": false,
            "response_format": {"type": "json_schema", "json_schema": {"name": "ans", "strict": true, "schema": {"type": "object"}}},
        }),
    );
    assert_eq!(
        body(&prepared),
        json!({
            "model": "claude-haiku-4-5", "max_tokens": 300, "system": "Answer in one word.\n\nBe kind.",
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}, {"type": "text", "text": "Which animal?"}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"q": "owl"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "a bird"}]},
            ],
            "tools": [{"name": "lookup", "description": "find a fact", "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}, "strict": true}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
            "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
            "stop_sequences": ["END"], "metadata": {"user_id": "u"},
        })
    );
    assert_eq!((version(&prepared), &*dropped(&prepared)), ("2026-10-21", &["stop"][..]));
    assert_eq!(prepared.outgoing.url.as_str(), "http://h:1/v1/messages");
    assert_eq!(prepared.outgoing.headers["x-api-key"], "sk-ant-1234567890");
    assert!(!format!("{:?}", prepared.outgoing.headers).contains("12345"));
}

#[test]
fn sampling_goes_with_the_old_version_and_the_old_models_only() {
    let hot = with(json!({"temperature": 1.7, "max_tokens": 9}));
    let old = prepare("claude-haiku-4-5", &hot);
    assert_eq!((version(&old), body(&old)["temperature"].as_f64()), ("2023-06-01", Some(1.0)));
    assert_eq!(dropped(&old), ["temperature"], "lowered");
    assert!(prepare("claude-haiku-4-5", &with(json!({"temperature": 1}))).dropped.is_empty());
    for model in ["claude-opus-4-7", "claude-sonnet-5", "claude-fable-5"] {
        let new = prepare(model, &hot);
        assert_eq!((version(&new), &*dropped(&new)), ("2026-10-21", &["temperature"][..]), "{model}");
        assert!(body(&new).get("temperature").is_none());
    }
    // Both at once are refused from 4.1 on.
    let both = with(json!({"temperature": 0, "top_p": 0.5}));
    assert_eq!(dropped(&prepare("claude-3-5-haiku-20241022", &both)), Vec::<&str>::new());
    assert_eq!(dropped(&prepare("claude-sonnet-4-5", &both)), ["top_p"]);
    // A version the caller chose is kept, and what it does not take goes.
    let asked =
        Asked { api_base: Some("http://h:1".into()), api_version: Some("2026-10-21".into()), ..Asked::default() };
    let chosen = resolve("anthropic/claude-haiku-4-5", &asked, &|_| None).unwrap();
    let request = ChatRequest::new(serde_json::to_vec(&hot).unwrap());
    let prepared = chat(&chosen, &request, false).unwrap();
    assert_eq!((version(&prepared), &*dropped(&prepared)), ("2026-10-21", &["temperature"][..]));
    // Not while it thinks.
    let thinks = prepare("claude-haiku-4-5", &with(json!({"temperature": 0.1, "reasoning_effort": "low"})));
    assert_eq!((version(&thinks), &*dropped(&thinks)), ("2026-10-21", &["temperature"][..]));
}

#[test]
fn efforts_of_every_generation() {
    let thinking = |model: &str, effort: &str, room: u64| {
        let sent = sent(model, &with(json!({"reasoning_effort": effort, "max_tokens": room})));
        (
            sent.get("thinking").cloned(),
            sent.pointer("/output_config/effort").and_then(Value::as_str).map(str::to_owned),
        )
    };
    let budget = |tokens: u64| Some(json!({"type": "enabled", "budget_tokens": tokens}));
    for (effort, tokens) in [("minimal", 1024), ("low", 2048), ("medium", 8192), ("high", 16_384), ("xhigh", 32_768)] {
        assert_eq!(thinking("claude-haiku-4-5", effort, 100_000), (budget(tokens), None), "{effort}");
    }
    // The budget stays below the longest answer, or there is none.
    assert_eq!(thinking("claude-sonnet-4-20250514", "low", 3000), (budget(2048), None));
    assert_eq!(thinking("claude-sonnet-4-20250514", "high", 3000), (budget(1500), None));
    assert_eq!(thinking("claude-sonnet-4-20250514", "high", 1025), (budget(1024), None));
    assert_eq!(thinking("claude-sonnet-4-20250514", "high", 1024), (None, None));
    let off = Some(json!({"type": "disabled"}));
    let adaptive = Some(json!({"type": "adaptive"}));
    for (effort, named) in
        [("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high"), ("xhigh", "xhigh"), ("max", "max")]
    {
        assert_eq!(thinking("claude-opus-4-7", effort, 100), (adaptive.clone(), Some(named.to_owned())), "{effort}");
    }
    assert_eq!(thinking("claude-sonnet-4-6", "xhigh", 100), (adaptive, Some("high".to_owned())));
    assert_eq!(thinking("claude-3-5-haiku-20241022", "low", 9000), (None, None));
    assert_eq!(thinking("claude-haiku-4-5", "none", 100), (off.clone(), None));
    assert_eq!(thinking("claude-opus-4-8", "none", 100), (None, None));
    assert_eq!(thinking("claude-opus-5", "none", 100), (off, None));
    assert_eq!(thinking("claude-opus-5-5", "none", 100), (None, Some("low".to_owned())));
    assert_eq!(
        dropped(&prepare("claude-3-haiku-20240307", &with(json!({"reasoning_effort": "low"})))),
        ["reasoning_effort"]
    );
}

#[test]
fn an_effort_that_is_changed_is_reported() {
    let told = |model: &str, more: Value| {
        let prepared = prepare(model, &with(more));
        dropped(&prepared).join(",")
    };
    let effort = |effort: &str| json!({"reasoning_effort": effort, "max_tokens": 60_000});
    for (model, efforts) in [
        ("claude-haiku-4-5", &["none", "minimal", "low", "medium", "high", "xhigh"][..]),
        ("claude-opus-4-6", &["none", "minimal", "low", "medium", "high", "max"]),
        ("claude-opus-4-7", &["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
    ] {
        for name in efforts {
            assert_eq!(told(model, effort(name)), "", "{model} {name}");
        }
    }
    assert_eq!(told("claude-opus-4-6", effort("xhigh")), "reasoning_effort");
    assert_eq!(told("claude-opus-5-5", effort("none")), "reasoning_effort");
    // No room for all of the thoughts.
    assert_eq!(told("claude-haiku-4-5", json!({"reasoning_effort": "high", "max_tokens": 3000})), "reasoning_effort");
    let own = json!({"thinking": {"type": "enabled", "budget_tokens": 5000}, "max_tokens": 3000});
    assert_eq!(told("claude-haiku-4-5", own.clone()), "thinking");
    assert_eq!(told("claude-opus-4-6", own), "thinking");
    let forced = json!({
        "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required", "reasoning_effort": "low"
    });
    for model in ["claude-haiku-4-5", "claude-opus-4-6", "claude-opus-5"] {
        assert_eq!(told(model, forced.clone()), "reasoning_effort", "{model}");
    }
}

#[test]
fn forced_tools_and_thinking_do_not_meet() {
    let request = with(json!({
        "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required", "reasoning_effort": "max", "max_tokens": 9000
    }));
    for model in ["claude-sonnet-4-5", "claude-opus-4-7"] {
        let sent = sent(model, &request);
        assert_eq!((sent["tool_choice"].clone(), sent.get("thinking")), (json!({"type": "any"}), None), "{model}");
    }
    let five = sent("claude-opus-5", &request);
    assert_eq!(five["thinking"], json!({"type": "disabled"}));
    assert_eq!(five["output_config"], json!({"effort": "high"}));
    let newest = prepare("claude-opus-5-5", &request);
    assert_eq!(body(&newest)["tool_choice"], json!({"type": "auto"}));
    assert!(body(&newest)["system"].as_str().unwrap().contains("tool"));
    assert_eq!(dropped(&newest), ["tool_choice"]);
}

#[test]
fn tools_of_every_kind() {
    let f = json!({"type": "function", "function": {"name": "f", "parameters": {}}});
    let g = json!({"type": "function", "function": {"name": "g", "parameters": {"properties": {}}, "strict": true}});
    let any = json!({"type": "object", "properties": {}});
    let both = with(json!({"tools": [f, g], "tool_choice": {"type": "function", "function": {"name": "g"}}}));
    let written = sent("claude-opus-4-1", &both);
    assert_eq!(written["tools"][0], json!({"name": "f", "input_schema": any}));
    assert_eq!(written["tools"][1], json!({"name": "g", "input_schema": {"properties": {}, "type": "object"}}));
    assert_eq!(written["tool_choice"], json!({"type": "tool", "name": "g"}));
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}});
    let only = sent("claude-opus-4-1", &with(json!({"tools": [f, g], "tool_choice": allowed})));
    assert_eq!((only["tools"].as_array().unwrap().len(), &only["tool_choice"]), (1, &json!({"type": "any"})));
    let none =
        sent("claude-opus-4-1", &with(json!({"tools": [f], "tool_choice": "none", "parallel_tool_calls": false})));
    assert_eq!(none["tool_choice"], json!({"type": "none"}));
    // A choice without tools means nothing; tools of a conversation are known even when there are none any more.
    assert!(sent("claude-opus-4-1", &with(json!({"tool_choice": "none"}))).get("tool_choice").is_none());
    let calls = json!({"model": "x", "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "h", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "c", "content": ""}]});
    let calls = sent("claude-opus-4-1", &calls);
    assert_eq!(calls["tools"], json!([{"name": "h", "input_schema": any}]));
    assert_eq!(calls["tool_choice"], json!({"type": "none"}));
    let native = json!({"type": "web_search_20250305", "name": "web_search"});
    assert_eq!(sent("claude-opus-4-1", &with(json!({"tools": [native]})))["tools"], json!([native]));
}

#[test]
fn a_schema_is_a_tool_for_older_models() {
    let format = json!({"type": "json_schema", "json_schema": {"name": "ans", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}});
    let alone = prepare("claude-3-5-haiku-20241022", &with(json!({"response_format": format})));
    assert_eq!(alone.reading.schema_tool.as_deref(), Some("json_answer"));
    assert_eq!(body(&alone)["tool_choice"], json!({"type": "tool", "name": "json_answer"}));
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let beside = prepare("claude-3-5-haiku-20241022", &with(json!({"response_format": format, "tools": tools})));
    assert_eq!(body(&beside)["tool_choice"], json!({"type": "any"}));
    let answer = json!({"type": "message", "content": [{"type": "tool_use", "id": "t", "name": "json_answer", "input": {"a": 1}}], "stop_reason": "tool_use"});
    let read = read_with(&alone.reading, &answer);
    assert_eq!(read["choices"][0]["message"]["content"], r#"{"a":1}"#);
    assert_eq!(read["choices"][0]["finish_reason"], "stop");
    assert!(read["choices"][0]["message"].get("tool_calls").is_none());
    let newer = prepare("claude-haiku-4-5", &with(json!({"response_format": format})));
    assert_eq!(newer.reading.schema_tool, None);
    let object = sent("claude-haiku-4-5", &with(json!({"response_format": {"type": "json_object"}})));
    assert!(object["system"].as_str().unwrap().contains("JSON"));
}

#[test]
fn what_has_no_place_is_reported() {
    let prepared = prepare(
        "claude-haiku-4-5",
        &with(json!({
            "seed": 1, "logprobs": true, "top_logprobs": 2, "presence_penalty": 0.5, "frequency_penalty": 0, "logit_bias": {"1": 2},
            "service_tier": "flex", "store": false, "verbosity": "low", "n": 3, "modalities": ["text"], "metadata": {"a": "b"}, "speed": "fast"
        })),
    );
    assert_eq!(
        dropped(&prepared),
        ["seed", "presence_penalty", "logprobs", "top_logprobs", "service_tier", "logit_bias", "verbosity", "metadata"]
    );
    assert_eq!(prepared.times, 3);
    assert_eq!(body(&prepared)["speed"], "fast");
    assert_eq!(sent("claude-haiku-4-5", &with(json!({"service_tier": "default"})))["service_tier"], "standard_only");
    let audio = ChatRequest::new(serde_json::to_vec(&with(json!({"modalities": ["text", "audio"]}))).unwrap());
    assert_eq!(chat(&endpoint("claude-haiku-4-5"), &audio, false).err().unwrap().kind(), Kind::Unsupported);
    let spoken = json!({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]});
    let error = chat(&endpoint("claude-haiku-4-5"), &ChatRequest::new(serde_json::to_vec(&spoken).unwrap()), false)
        .err()
        .unwrap();
    assert!(error.message().starts_with("messages[0].content[0]: ") && error.kind() == Kind::Unsupported);
}

#[test]
fn the_ends_of_a_conversation() {
    let said =
        |model: &str, messages: Value| sent(model, &json!({"model": "x", "messages": messages}))["messages"].clone();
    let last = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b \n"}]);
    assert_eq!(said("claude-sonnet-4-5", last.clone())[1]["content"], "b");
    assert_eq!(said("claude-opus-4-6", last)[2], json!({"role": "user", "content": "Continue."}));
    let first =
        said("claude-opus-4-6", json!([{"role": "assistant", "content": "b"}, {"role": "user", "content": " "}]));
    assert_eq!(
        first,
        json!([{"role": "user", "content": "(no text)"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "(no text)"}])
    );
    let silent = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}, {"role": "user", "content": "c"}]);
    assert_eq!(said("claude-opus-4-6", silent)[0]["content"].as_array().unwrap().len(), 2);
    let thought = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}]}]);
    assert_eq!(said("claude-opus-4-6", thought), json!([{"role": "user", "content": "a"}]));
    let only = sent("claude-opus-4-6", &json!({"model": "x", "messages": [{"role": "system", "content": "write"}]}));
    assert_eq!((only.get("system"), &only["messages"]), (None, &json!([{"role": "user", "content": "write"}])));
}

#[test]
fn ids_are_rewritten_alike_and_never_twice() {
    let call = |id: &str| json!({"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": "[1]"}}]});
    let answer = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "x"});
    let messages = json!([{"role": "user", "content": "a"}, call("a.b"), answer("a.b"), call("a.b"), answer("a.b"), call("ok"), answer("ok")]);
    let sent = sent("claude-opus-4-6", &json!({"model": "x", "messages": messages}));
    let id = |message: usize, name: &str| sent["messages"][message]["content"][0][name].as_str().unwrap().to_owned();
    for turn in [1, 3, 5] {
        assert_eq!(id(turn, "id"), id(turn + 1, "tool_use_id"));
    }
    assert_ne!(id(1, "id"), id(3, "id"));
    assert_eq!(id(5, "id"), "ok");
    // What is no object is kept as text.
    assert_eq!(sent["messages"][1]["content"][0]["input"], json!({"arguments": "[1]"}));
}

#[test]
fn files_and_cache_marks() {
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    let sent = sent(
        "claude-haiku-4-5",
        &json!({"model": "x", "messages": [
        {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": mark}, {"type": "text", "text": " "}]},
        {"role": "user", "content": [
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": "data:text/plain;base64,w6TDtg=="}},
            {"type": "image_url", "image_url": {"url": "https://h/x.png"}, "cache_control": mark}]}]}),
    );
    assert_eq!(sent["system"], json!([{"type": "text", "text": "a", "cache_control": mark}]));
    assert_eq!(
        sent["messages"][0]["content"],
        json!([
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}},
        {"type": "text", "text": "file:\näö"},
        {"type": "image", "source": {"type": "url", "url": "https://h/x.png"}, "cache_control": mark}])
    );
}

#[test]
fn the_longest_answer_is_the_models() {
    let room = |model: &str, more: Value| {
        let prepared = prepare(model, &with(more));
        (body(&prepared)["max_tokens"].as_u64().unwrap(), dropped(&prepared).len())
    };
    assert_eq!(room("claude-haiku-4-5", json!({})), (64_000, 0));
    assert_eq!(room("claude-haiku-4-5", json!({"max_tokens": 7, "max_completion_tokens": 9})), (9, 0));
    assert_eq!(room("claude-3-haiku-20240307", json!({"max_tokens": 9000})), (4096, 1));
    assert_eq!(room("claude-of-nobody", json!({})), (4096, 0));
    assert_eq!(room("claude-3-7-sonnet-20250219", json!({"reasoning_effort": "max"})), (64_000, 0));
    assert_eq!(room("claude-opus-4-20250514", json!({"reasoning_effort": "xhigh"})), (32_000, 1));
}
