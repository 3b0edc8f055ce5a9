#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;
use crate::providers::{Asked, capabilities, resolve};

fn endpoint(model: &str) -> Endpoint {
    let asked = Asked { api_base: Some("http://h:1/v1".into()), ..Asked::default() };
    resolve(model, &asked, &|_| None).unwrap()
}

fn adapted(model: &str, body: &Value, stream: bool) -> Adapted {
    let endpoint = endpoint(model);
    adapt(&endpoint, &capabilities::of(&endpoint), body.to_string().as_bytes(), stream).unwrap()
}

/// The body without its model, and the names of what was left out.
fn sent(model: &str, body: &Value) -> (Value, Vec<String>) {
    let adapted = adapted(model, body, false);
    let mut sent: Value = serde_json::from_slice(&adapted.body).unwrap();
    sent.as_object_mut().unwrap().remove("model");
    (sent, adapted.dropped.into_iter().map(|dropped| dropped.parameter).collect())
}

#[test]
fn nothing_changes_where_nothing_has_to() {
    let body =
        br#"{ "messages" : [{"role":"user", "content":"\u00e9 \"developer\""}],"temperature":1.0,  "n":2,"x":null }"#;
    for model in ["openai/gpt-4o", "openai/big", "together_ai/a/b", "hosted_vllm/x", "fireworks_ai/a/x"] {
        let endpoint = endpoint(model);
        let done = adapt(&endpoint, &capabilities::of(&endpoint), body, false).unwrap();
        let rest = &body[1..];
        let expected = [br#"{"model":""#, endpoint.model.as_bytes(), b"\",", rest].concat();
        assert_eq!(String::from_utf8_lossy(&done.body), String::from_utf8_lossy(&expected), "{model}");
        assert!(done.dropped.is_empty() && done.times == 1);
    }
}

#[test]
fn the_length_has_the_name_that_is_taken() {
    let (old, new) = (json!({"max_tokens": 5}), json!({"max_completion_tokens": 5}));
    for model in ["openai/gpt-5-mini", "openai/o3", "openai/gpt-5-chat-latest", "azure/gpt-5.2"] {
        for body in [&old, &new, &json!({"max_completion_tokens": 5, "max_tokens": 9})] {
            assert_eq!(sent(model, body), (new.clone(), vec![]), "{model}");
        }
    }
    for model in ["mistral/x", "groq/x", "openai/big", "hosted_vllm/x", "openrouter/openai/gpt-5"] {
        for body in [&old, &new, &json!({"max_completion_tokens": 5, "max_tokens": 9})] {
            assert_eq!(sent(model, body), (old.clone(), vec![]), "{model}");
        }
    }
    for body in [&old, &new] {
        assert_eq!(sent("openai/gpt-4o", body).0, *body);
        assert_eq!(sent("azure/whatever", body).0, *body);
    }
    assert_eq!(sent("openai/big", &json!({"max_completion_tokens": null})).0, json!({}));
}

#[test]
fn who_reasons_takes_no_sampling_and_efforts_it_knows() {
    let warm = json!({"temperature": 0, "top_p": 1, "logprobs": false, "presence_penalty": 0.5, "top_logprobs": null});
    let (body, dropped) = sent("openai/gpt-5", &warm);
    assert_eq!((body, dropped), (json!({}), vec!["temperature".to_owned(), "presence_penalty".to_owned()]));
    let still = json!({"temperature": 0, "reasoning_effort": "none"});
    assert_eq!(sent("openai/gpt-5.2", &still), (still.clone(), vec![]));
    assert_eq!(sent("openai/gpt-5", &still).0, json!({"reasoning_effort": "minimal"}));
    for (model, wanted, known) in [
        ("openai/o3", "minimal", "low"),
        ("openai/o3", "max", "high"),
        ("openai/gpt-5", "xhigh", "high"),
        ("openai/gpt-5.1", "minimal", "low"),
        ("openai/gpt-5.2", "max", "xhigh"),
        ("openai/gpt-6", "max", "max"),
        ("xai/grok-3-mini", "medium", "high"),
        ("groq/openai/gpt-oss-20b", "none", "low"),
    ] {
        let (body, dropped) = sent(model, &json!({"reasoning_effort": wanted}));
        assert_eq!(body["reasoning_effort"], known, "{model} {wanted}");
        assert_eq!(dropped.len(), usize::from(wanted != known), "{model} {wanted}");
    }
    for model in ["openai/gpt-4o", "mistral/x", "xai/grok-4"] {
        assert_eq!(sent(model, &json!({"reasoning_effort": "low"})), (json!({}), vec!["reasoning_effort".to_owned()]));
        assert_eq!(sent(model, &json!({"reasoning_effort": "none"})), (json!({}), vec![]));
    }
    assert_eq!(sent("hosted_vllm/x", &json!({"reasoning_effort": "low"})).0, json!({"reasoning_effort": "low"}));
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f"}}], "reasoning_effort": "low"});
    assert_eq!(sent("openai/gpt-5.6", &tools).0["reasoning_effort"], "none");
    let error =
        adapt(&endpoint("openai/x"), &capabilities::of(&endpoint("openai/x")), br#"{"reasoning_effort":3}"#, false);
    assert!(error.unwrap_err().message().contains("`reasoning_effort`"));
}

#[test]
fn rows_of_the_table() {
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let full = json!({
        "seed": 1, "stop": ["a"], "presence_penalty": 1, "logit_bias": {"5": 1}, "logprobs": true, "user": "u", "temperature": 1.5,
        "tools": tool, "tool_choice": "required",
    });
    let (body, dropped) = sent("mistral/x", &full);
    let expected = json!({
        "random_seed": 1, "stop": ["a"], "presence_penalty": 1, "temperature": 1.5, "tools": tool, "tool_choice": "any",
    });
    assert_eq!((body, dropped), (expected, own(&["logprobs", "logit_bias", "user"])));
    assert_eq!(sent("groq/x", &full).1, own(&["logprobs", "logit_bias"]));
    assert_eq!(sent("xai/grok-4", &full).1, own(&["stop", "presence_penalty"]));
    assert_eq!(sent("xai/grok-4-fast-non-reasoning", &full).1, own(&[]));
    assert_eq!(sent("cerebras/x", &full).1, own(&["presence_penalty", "logit_bias"]));
    let (body, dropped) = sent("moonshot/x", &full);
    assert_eq!(dropped, own(&["tool_choice", "temperature"]));
    assert!(body["tool_choice"] == "auto" && body["temperature"] == 1.0);
    let tier = |name: &str| sent("groq/x", &json!({"service_tier": name}));
    assert_eq!(tier("flex"), (json!({"service_tier": "flex"}), own(&[])));
    assert_eq!((tier("default"), tier("priority").1), ((json!({}), own(&[])), own(&["service_tier"])));
    // What no table names is the caller's own, for this server.
    assert_eq!(sent("mistral/x", &json!({"safe_prompt": true})).0, json!({"safe_prompt": true}));
}

#[test]
fn several_answers_where_one_is_given_are_several_requests() {
    for (model, times) in [("groq/x", 3), ("deepseek/x", 3), ("openai/gpt-4o", 1), ("mistral/x", 1)] {
        let done = adapted(model, &json!({"n": 3}), false);
        assert_eq!(done.times, times, "{model}");
        assert_eq!(done.body.ends_with(b"\"n\":3}"), times == 1, "{model}");
    }
    let endpoint = endpoint("groq/x");
    for n in ["0", "1.5", "1000000", "\"2\""] {
        let body = format!("{{\"n\":{n}}}");
        let error = adapt(&endpoint, &capabilities::of(&endpoint), body.as_bytes(), false).unwrap_err();
        assert!(error.message().contains("`n` must be a whole number from 1 to 128"), "{error}");
    }
}

#[test]
fn a_stream_tells_its_usage_and_the_caller_sees_it_if_he_asked() {
    let stream = |model: &str, body: Value| {
        let done = adapted(model, &body, true);
        let mut sent: Value = serde_json::from_slice(&done.body).unwrap();
        sent.as_object_mut().unwrap().remove("model");
        (sent, done.reading.usage_asked)
    };
    let with = |options: Value| json!({"stream": true, "stream_options": options});
    let asked = with(json!({"include_usage": true}));
    for model in ["openai/gpt-5", "openai/big", "azure/d", "groq/x", "deepseek/x", "hosted_vllm/x"] {
        assert_eq!(stream(model, json!({"stream": true})), (asked.clone(), false), "{model}");
        assert_eq!(stream(model, asked.clone()), (asked.clone(), true), "{model}");
    }
    let more = json!({"include_obfuscation": false});
    let both = json!({"include_obfuscation": false, "include_usage": true});
    assert_eq!(stream("openai/gpt-5", with(more)), (with(both), false));
    for model in ["mistral/x", "perplexity/sonar"] {
        assert_eq!(stream(model, json!({})), (json!({"stream": true}), false), "{model}");
        assert_eq!(stream(model, asked.clone()), (json!({"stream": true}), true), "{model}");
    }
    let asked_of = |version: &str| {
        let asked =
            Asked { api_base: Some("http://h:1".into()), api_version: Some(version.to_owned()), ..Asked::default() };
        let endpoint = resolve("azure/d", &asked, &|_| None).unwrap();
        let done = adapt(&endpoint, &capabilities::of(&endpoint), b"{}", true).unwrap();
        String::from_utf8_lossy(&done.body).contains("include_usage")
    };
    assert!(asked_of("2024-10-21") && !asked_of("2024-02-01"));
}

#[test]
fn tools_in_the_words_of_the_server() {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
    let choice = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("g")]}});
    let body = json!({"tools": [tool("f"), tool("g")], "tool_choice": choice});
    assert_eq!(sent("openai/gpt-5", &body).0, body);
    assert_eq!(sent("mistral/x", &body).0, json!({"tools": [tool("g")], "tool_choice": "any"}));
    assert_eq!(sent("groq/x", &json!({"tools": [], "tool_choice": "auto", "parallel_tool_calls": true})).0, json!({}));
    assert_eq!(sent("groq/x", &json!({"tool_choice": "none"})).0, json!({}));
    let marked =
        json!({"tools": [{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}]});
    assert_eq!(sent("openai/gpt-5", &marked).0, json!({"tools": [tool("f")]}));
    assert_eq!(sent("openrouter/a/b", &marked).0, marked);
}

#[test]
fn the_form_before_tools() {
    let function = json!({"name": "f", "parameters": {}});
    let call = json!({"name": "f", "arguments": "{}"});
    let body = json!({
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": null, "function_call": call},
            {"role": "function", "name": "f", "content": "b"},
        ],
        "functions": [function], "function_call": {"name": "f"},
    });
    assert_eq!(sent("openai/gpt-4o", &body).0, body);
    let expected = json!({
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function", "function": call}]},
            {"role": "tool", "content": "b", "tool_call_id": "call_1"},
        ],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    });
    assert_eq!(sent("hosted_vllm/x", &body).0, expected);
    assert!(adapted("hosted_vllm/x", &body, false).reading.legacy_functions);
}

#[test]
fn json_in_words_where_nothing_else_is_taken() {
    let schema = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    let body = json!({"messages": [{"role": "system", "content": "Be kind."}], "response_format": schema});
    assert_eq!(sent("openai/gpt-4o", &body).0, body);
    let (body, dropped) = sent("openai/gpt-4-1106-preview", &body);
    assert_eq!(
        (body["response_format"].clone(), dropped),
        (json!({"type": "json_object"}), vec!["response_format".to_owned()])
    );
    assert!(body["messages"][0]["content"].as_str().unwrap().ends_with(r#"nothing else: {"type":"object"}"#));
    let object = json!({"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_object"}});
    assert_eq!(sent("openai/gpt-4-1106-preview", &object).0, object);
    let (body, _) = sent("openai/gpt-4", &object);
    assert!(body.get("response_format").is_none() && body["messages"][0]["role"] == "system");
}

#[test]
fn what_only_anthropic_knows_is_left_out_where_it_would_be_refused() {
    let body = json!({"thinking": {"type": "enabled"}, "top_k": 4, "reasoning_effort": "low"});
    let (left, dropped) = sent("openai/gpt-5", &body);
    assert_eq!((left, dropped), (json!({"reasoning_effort": "low"}), vec!["thinking".to_owned(), "top_k".to_owned()]));
    assert_eq!(sent("hosted_vllm/x", &body), (body, vec![]), "a server of nobody knows whom may take them");
}

#[test]
fn images_of_tools_are_shown_by_the_user() {
    let image = json!({"type": "image_url", "image_url": {"url": "https://x.example/a.png"}});
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let seen = messages(
        "openai/gpt-5",
        &json!([
            {"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "an owl"}, image]},
            {"role": "tool", "tool_call_id": "b", "content": [image]},
            {"role": "user", "content": "go on"},
        ]),
    );
    assert_eq!(
        seen,
        json!([
            {"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "an owl"}]},
            {"role": "tool", "tool_call_id": "b", "content": "(shown below)"},
            {"role": "user", "content": [{"type": "text", "text": "What the tools have shown:"}, image, image]},
            {"role": "user", "content": "go on"},
        ])
    );
}

fn messages(model: &str, messages: &Value) -> Value {
    sent(model, &json!({"messages": messages})).0["messages"].clone()
}

#[test]
fn roles_and_the_reasoning_of_others() {
    let said = json!([{"role": "developer", "content": "a"}, {"role": "system", "content": "b"}]);
    let role = |model: &str, at: usize| messages(model, &said)[at]["role"].as_str().unwrap().to_owned();
    assert_eq!((role("openai/gpt-5", 0), role("openai/gpt-5", 1)), ("developer".into(), "developer".into()));
    for model in ["openai/gpt-4o", "openai/big", "mistral/x", "groq/x", "hosted_vllm/x"] {
        assert_eq!((role(model, 0), role(model, 1)), ("system".into(), "system".into()), "{model}");
    }
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let mut signed = call.clone();
    signed["extra_content"] = json!({"google": {"thought_signature": "c2ln"}});
    let thinking = json!([{"type": "thinking", "thinking": "hm", "signature": "s"}]);
    for message in [
        json!({"role": "assistant", "content": "x", "reasoning_content": "hm", "thinking_blocks": thinking, "tool_calls": [call]}),
        json!({"role": "assistant", "content": "x", "reasoning_content": "hm", "tool_calls": [signed]}),
    ] {
        let plain = json!([{"role": "assistant", "content": "x", "tool_calls": [call]}]);
        for model in ["openai/gpt-5", "openai/gpt-4o", "groq/x", "deepseek/x", "hosted_vllm/x", "openrouter/a/b"] {
            assert_eq!(messages(model, &json!([message])), plain, "{model}");
        }
    }
    let own = json!([{"role": "assistant", "content": "x", "reasoning_content": "hm"}]);
    assert_eq!(messages("deepseek/x", &own), own);
    assert_eq!(messages("openai/gpt-5", &own), json!([{"role": "assistant", "content": "x"}]));
    // Who takes these back takes them as their makers do, without what we add to them.
    let mut made = json!({"role": "assistant", "content": "x",
        "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s", "order": ["thinking", 1]}],
        "extra_content": {"google": {"thought_signature": "c2ln", "parts": [{"text": 1}]}}});
    let sent = messages("litellm_proxy/x", &json!([made]));
    made["thinking_blocks"] = thinking;
    made["extra_content"] = json!({"google": {"thought_signature": "c2ln"}});
    assert_eq!(sent, json!([made]));
    let only = json!([{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}]);
    assert_eq!(messages("openai/gpt-5", &only), json!([{"role": "assistant", "content": ""}]));
}

#[test]
fn ids_fit_and_stay_together() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let turn =
        |ids: &[&str]| json!({"role": "assistant", "tool_calls": ids.iter().map(|id| call(id)).collect::<Vec<_>>()});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "r"});
    let long = "call_".repeat(20);
    let said =
        json!([turn(&["toolu_01", &long]), result(&long), result("toolu_01"), turn(&["toolu_01"]), result("toolu_01")]);
    for (model, most) in [("mistral/x", 9), ("openai/gpt-5", 40)] {
        let sent = messages(model, &said);
        let id = |at: &str| sent.pointer(at).unwrap().as_str().unwrap().to_owned();
        assert_eq!(id("/0/tool_calls/0/id"), id("/2/tool_call_id"));
        assert_eq!(id("/0/tool_calls/1/id"), id("/1/tool_call_id"));
        assert_eq!(id("/3/tool_calls/0/id"), id("/4/tool_call_id"));
        let all = [id("/0/tool_calls/0/id"), id("/0/tool_calls/1/id"), id("/3/tool_calls/0/id")];
        assert!(all.iter().all(|id| id.len() <= most) && all[0] != all[1] && all[0] != all[2], "{all:?}");
        assert_eq!(sent, messages(model, &sent), "{model}");
    }
    assert_eq!(messages("hosted_vllm/x", &said), said);
}

#[test]
fn strict_servers_get_the_fields_they_know() {
    let said = json!([
        {"role": "user", "name": "Ann", "content": "a"},
        {"role": "assistant", "content": null, "refusal": "no", "annotations": [], "audio": null, "tool_calls": []},
    ]);
    let expected = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "no"}]);
    for model in ["mistral/x", "groq/x", "cerebras/x"] {
        assert_eq!(messages(model, &said), expected, "{model}");
        assert_eq!(sent(model, &json!({"messages": said})).1, ["messages[].name"]);
    }
    let texts = json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]);
    assert_eq!(messages("deepseek/x", &texts), json!([{"role": "user", "content": "a\nb"}]));
}

#[test]
fn turns_alternate_where_they_must() {
    let say = |role: &str, content: Value| json!({"role": role, "content": content});
    let image = json!({"type": "image_url", "image_url": {"url": "https://x"}});
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}});
    let said = json!([
        say("assistant", "hi".into()),
        say("user", "a".into()),
        say("system", "s".into()),
        say("user", json!([image])),
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
        say("developer", "t".into()),
        say("assistant", "b".into()),
    ]);
    let expected = json!([
        say("system", "s\n\nt".into()),
        say("user", "Continue.".into()),
        say("assistant", "hi".into()),
        say("user", json!([{"type": "text", "text": "a"}, image])),
        say("assistant", "[f({\"a\":1})]".into()),
        say("user", "r".into()),
        say("assistant", "b".into()),
        say("user", "Continue.".into()),
    ]);
    assert_eq!(messages("perplexity/sonar", &said), expected);
}

fn content() -> impl Strategy<Value = Value> {
    prop_oneof![
        "\\PC{0,8}".prop_map(Value::from),
        prop::collection::vec("\\PC{0,8}", 1..3)
            .prop_map(|texts| texts.into_iter().map(|text| json!({"type": "text", "text": text})).collect()),
    ]
}

/// Conversations that came from anywhere: tools, reasoning of others, names, roles in any order.
fn conversation() -> impl Strategy<Value = Value> {
    let text = |role: &'static str| content().prop_map(move |content| json!([{"role": role, "content": content}]));
    let calls = ("[a-zA-Z0-9_:-]{1,50}", content(), any::<bool>()).prop_map(|(id, content, signed)| {
        let mut call = json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let mut message = json!({"role": "assistant", "content": content, "reasoning_content": "hm"});
        if signed {
            call["extra_content"] = json!({"google": {"thought_signature": "c2ln"}});
            message["thinking_blocks"] = json!([{"type": "thinking", "thinking": "hm", "signature": "s"}]);
        }
        message["tool_calls"] = json!([call]);
        json!([message, {"role": "tool", "tool_call_id": id, "content": "r"}])
    });
    let turn = prop_oneof![text("user"), text("assistant"), text("system"), text("developer"), calls];
    prop::collection::vec(turn, 1..6)
        .prop_map(|turns| turns.into_iter().flat_map(|turn| turn.as_array().unwrap().clone()).collect())
}

fn request() -> impl Strategy<Value = Value> {
    let parameters = prop::sample::subsequence(
        vec![
            ("temperature", json!(0.3)),
            ("max_tokens", json!(9)),
            ("max_completion_tokens", json!(7)),
            ("logprobs", json!(true)),
            ("presence_penalty", json!(0.5)),
            ("stop", json!(["x"])),
            ("seed", json!(3)),
            ("n", json!(2)),
            ("reasoning_effort", json!("high")),
            ("user", json!("u")),
            ("verbosity", json!("low")),
            ("response_format", json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {}}})),
            ("tools", json!([{"type": "function", "function": {"name": "f"}}])),
            ("tool_choice", json!("required")),
            ("parallel_tool_calls", json!(false)),
        ],
        0..=15,
    );
    (conversation(), parameters).prop_map(|(messages, parameters)| {
        let mut body = json!({"messages": messages});
        for (name, value) in parameters {
            body[name] = value;
        }
        body
    })
}

const MODELS: [&str; 16] = [
    "openai/gpt-5",
    "openai/gpt-5.2",
    "openai/o3",
    "openai/gpt-4o",
    "openai/gpt-4",
    "openai/big",
    "azure/d",
    "mistral/x",
    "groq/x",
    "deepseek/deepseek-chat",
    "xai/grok-4",
    "perplexity/sonar",
    "cerebras/x",
    "moonshot/x",
    "openrouter/a/b",
    "hosted_vllm/x",
];

proptest! {
    /// What has been adapted is taken as it is, so adapting it again changes nothing and leaves nothing out.
    #[test]
    fn adapting_again_changes_nothing(body in request(), model in prop::sample::select(&MODELS[..]), stream in any::<bool>()) {
        let once = adapted(model, &body, stream);
        let endpoint = endpoint(model);
        let twice = adapt(&endpoint, &capabilities::of(&endpoint), &once.body, stream).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&once.body), String::from_utf8_lossy(&twice.body));
        prop_assert!(twice.dropped.is_empty(), "{:?}", twice.dropped);
    }

    /// Whatever stays, stays as it was: every text of the conversation reaches the model.
    #[test]
    fn no_text_is_lost(messages in conversation(), model in prop::sample::select(&MODELS[..])) {
        let sent = super::tests::messages(model, &messages);
        let texts = |value: &Value| -> String {
            let content = |content: &Value| match content {
                Value::String(text) => text.clone(),
                Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
                _ => String::new(),
            };
            let mut chars: Vec<char> = value.as_array().unwrap().iter().flat_map(|message| content(&message["content"]).chars().collect::<Vec<_>>()).collect();
            chars.sort_unstable();
            chars.into_iter().collect()
        };
        let (before, after) = (texts(&messages), texts(&sent));
        let mut rest = after.chars();
        prop_assert!(before.chars().all(|char| rest.any(|found| found == char)), "{} of {}", after, before);
    }
}
