//! Requests as they go out, and conversations from one turn to the next.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::request::{ChatRequest, Prepared, Reading};
use super::super::types::ReadStream;
use super::tests::{answer, endpoint};
use super::*;

fn prepared(model: &str, request: &Value) -> Prepared {
    chat(&endpoint(model), &ChatRequest::new(request.to_string()), false).unwrap()
}

fn body(model: &str, request: &Value) -> Value {
    serde_json::from_slice(&prepared(model, request).outgoing.body).unwrap()
}

fn refused(request: &Value) -> String {
    let made = chat(&endpoint("gemini-2.5-flash"), &ChatRequest::new(request.to_string()), false);
    made.err().unwrap().message().to_owned()
}

/// What one user message and these parameters give: the request, and the names of dropped parameters.
fn with(model: &str, parameters: &Value) -> (Value, Vec<String>) {
    let mut request = parameters.clone();
    request["messages"] = json!([{"role": "user", "content": "hi"}]);
    let dropped = prepared(model, &request).dropped.into_iter().map(|dropped| dropped.parameter).collect();
    (body(model, &request), dropped)
}

fn contents(model: &str, messages: &Value) -> Value {
    body(model, &json!({"messages": messages}))["contents"].take()
}

fn lookup() -> Value {
    json!([{"type": "function", "function": {"name": "lookup", "description": "find a fact", "strict": true,
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "additionalProperties": false}}}])
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

#[test]
fn the_request_of_the_reference() {
    let mut signed = call("f1", "lookup", r#"{"q":"owl"}"#);
    signed["extra_content"] = json!({"google": {"thought_signature": "c2ln"}});
    let request = json!({
        "model": "x",
        "messages": [
            {"role": "system", "content": "Answer in one word."},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "text", "text": "Which animal?"}]},
            {"role": "assistant", "content": null, "tool_calls": [signed]},
            {"role": "tool", "tool_call_id": "f1", "content": "a bird"},
            {"role": "developer", "content": [{"type": "text", "text": "Be sure."}]}],
        "tools": lookup(), "tool_choice": "auto", "max_completion_tokens": 300, "max_tokens": 7, "temperature": 0.2,
        "top_p": 0.9, "top_k": 40, "stop": "END", "n": 1, "seed": 7, "reasoning_effort": "low", "stream": true,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}});
    assert_eq!(
        body("gemini-3-flash-preview", &request),
        json!({
            "systemInstruction": {"parts": [{"text": "Answer in one word.\n\nBe sure."}]},
            "contents": [
                {"role": "user", "parts": [
                    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, {"text": "Which animal?"}]},
                {"role": "model", "parts": [
                    {"functionCall": {"id": "f1", "name": "lookup", "args": {"q": "owl"}}, "thoughtSignature": "c2ln"}]},
                {"role": "user", "parts": [
                    {"functionResponse": {"id": "f1", "name": "lookup", "response": {"result": "a bird"}}}]}],
            "tools": [{"functionDeclarations": [{"name": "lookup", "description": "find a fact", "parametersJsonSchema":
                {"type": "object", "properties": {"q": {"type": "string"}}, "additionalProperties": false}}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
            "generationConfig": {"maxOutputTokens": 300, "temperature": 0.2, "topP": 0.9, "topK": 40,
                "stopSequences": ["END"], "seed": 7, "responseMimeType": "application/json",
                "responseJsonSchema": {"type": "object"}, "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": true}},
        })
    );
    assert!(prepared("gemini-3-flash-preview", &request).dropped.is_empty());
}

#[test]
fn a_stream_is_asked_for_as_events() {
    let request =
        ChatRequest::new(r#"{"messages":[{"role":"user","content":"x"}],"stream_options":{"include_usage":true}}"#);
    let made = chat(&endpoint("gemini-2.5-flash"), &request, true).unwrap();
    assert_eq!(made.outgoing.url.as_str(), "http://h:1/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
    assert!(made.reading.usage_asked && made.outgoing.headers["accept"] == "text/event-stream");
    let whole = chat(&endpoint("gemini-2.5-flash"), &request, false).unwrap();
    assert_eq!(whole.outgoing.url.as_str(), "http://h:1/v1beta/models/gemini-2.5-flash:generateContent");
    assert!(!format!("{:?}", whole.outgoing.url).contains("AIza"));
}

#[test]
fn parameters() {
    let generation = |parameters: &Value| with("gemini-2.5-flash", parameters).0["generationConfig"].take();
    assert_eq!(generation(&json!({"temperature": null, "n": 3, "logprobs": false, "stop": [""]})), Value::Null);
    assert_eq!(
        generation(&json!({"presence_penalty": 0.5, "frequency_penalty": -1, "logprobs": true, "top_logprobs": 3})),
        json!({"presencePenalty": 0.5, "frequencyPenalty": -1.0, "responseLogprobs": true, "logprobs": 3})
    );
    assert_eq!(
        generation(&json!({"seed": 4_294_967_303_u64, "max_tokens": 5})),
        json!({"maxOutputTokens": 5, "seed": 7})
    );
    assert_eq!(
        generation(&json!({"response_format": {"type": "json_object"}})),
        json!({"responseMimeType": "application/json"})
    );
    assert_eq!(generation(&json!({"reasoning_effort": "none"})), json!({"thinkingConfig": {"thinkingBudget": 0}}));
    assert_eq!(
        generation(&json!({"reasoning_effort": "high"})),
        json!({"thinkingConfig": {"thinkingBudget": 24576, "includeThoughts": true}})
    );
    let (several, dropped) = with("gemini-2.5-flash", &json!({"seed": 7, "n": 2, "max_tokens": 5}));
    assert_eq!((&several["generationConfig"], dropped), (&json!({"maxOutputTokens": 5}), vec!["seed".to_owned()]));
    // The most the model can make, as the price table has it.
    let most = generation(&json!({"max_tokens": 9_000_000}))["maxOutputTokens"].as_u64().unwrap();
    assert!((8192..9_000_000).contains(&most), "{most}");
    assert_eq!(prepared("m", &json!({"n": 3, "messages": [{"role": "user", "content": "x"}]})).times, 3);
}

#[test]
fn what_has_no_place_is_reported() {
    let many = json!({
        "user": "u", "logit_bias": {"1": 2}, "parallel_tool_calls": false, "tools": lookup(), "store": true,
        "metadata": {"a": "b"}, "verbosity": "low", "stop": ["1", "2", "3", "4", "5", "6"], "reasoning_effort": "low",
        "service_tier": "scale", "something_new": 1});
    let (body, mut dropped) = with("gemini-2.0-flash", &many);
    dropped.sort();
    let expected = [
        "logit_bias",
        "metadata",
        "parallel_tool_calls",
        "reasoning_effort",
        "service_tier",
        "something_new",
        "stop",
        "store",
        "user",
        "verbosity",
    ];
    assert_eq!(dropped, expected);
    assert_eq!(body["generationConfig"], json!({"stopSequences": ["1", "2", "3", "4", "5"]}));
    let silent = json!({
        "store": false, "parallel_tool_calls": true, "modalities": ["text"], "n": 1, "service_tier": "auto",
        "reasoning_effort": "none", "metadata": {}, "logit_bias": null});
    assert_eq!(with("gemini-2.0-flash", &silent).1, Vec::<String>::new());
}

#[test]
fn what_is_changed_is_reported() {
    let told = |model: &str, parameters: Value| with(model, &parameters).1.join(",");
    assert_eq!(told("gemini-2.5-flash", json!({"max_tokens": 9_000_000})), "max_tokens");
    assert_eq!(
        told("gemini-2.5-flash", json!({"max_completion_tokens": 9_000_000, "max_tokens": 5})),
        "max_completion_tokens"
    );
    assert_eq!(told("gemini-2.5-flash", json!({"seed": 4_294_967_303_u64})), "seed");
    assert_eq!(told("gemini-2.5-flash", json!({"logprobs": true, "top_logprobs": 21})), "top_logprobs");
    for (model, effort, expected) in [
        ("gemini-2.5-flash", "none", ""),
        ("gemini-2.5-flash", "xhigh", "reasoning_effort"),
        ("gemini-2.5-flash", "max", ""),
        ("gemini-2.5-pro", "none", "reasoning_effort"),
        ("gemini-3.1-pro-preview", "none", "reasoning_effort"),
        ("gemini-3.1-pro-preview", "minimal", ""),
        ("gemini-3.1-pro-preview", "xhigh", ""),
    ] {
        assert_eq!(told(model, json!({"reasoning_effort": effort})), expected, "{model} {effort}");
    }
    // What is said more closely holds: nothing of the effort is sent.
    let google = json!({"reasoning_effort": "none", "google": {"thinking_config": {"thinking_budget": 200}}});
    assert_eq!(told("gemini-2.5-pro", google), "");
}

#[test]
fn penalties_go_to_those_who_take_them() {
    let request =
        json!({"presence_penalty": 1, "frequency_penalty": 0, "messages": [{"role": "user", "content": "x"}]});
    let mut google = endpoint("gemini-2.5-flash");
    google.base = "https://generativelanguage.googleapis.com".parse().unwrap();
    let made = chat(&google, &ChatRequest::new(request.to_string()), false).unwrap();
    let sent: Value = serde_json::from_slice(&made.outgoing.body).unwrap();
    assert_eq!(sent["generationConfig"], json!({"frequencyPenalty": 0.0}));
    assert_eq!(made.dropped[0].parameter, "presence_penalty");
    google.model = "gemini-2.0-flash".to_owned();
    assert!(chat(&google, &ChatRequest::new(request.to_string()), false).unwrap().dropped.is_empty());
}

#[test]
fn class_of_service() {
    let tier = |name: &str| with("gemini-2.5-flash", &json!({"service_tier": name})).0["serviceTier"].take();
    assert_eq!(
        [tier("auto"), tier("default"), tier("flex"), tier("priority")],
        [Value::Null, json!("standard"), json!("flex"), json!("priority")]
    );
}

#[test]
fn what_googles_compatible_endpoint_takes_is_taken_here() {
    let extra = json!({"thinking_config": {"thinking_budget": 77, "include_thoughts": true},
        "cached_content": "cachedContents/1", "safety_settings": [{"category": "c", "threshold": "t"}]});
    for parameters in [json!({"google": extra, "reasoning_effort": "low"}), json!({"extra_body": {"google": extra}})] {
        let (body, dropped) = with("gemini-2.5-flash", &parameters);
        let thinking = &body["generationConfig"]["thinkingConfig"];
        assert_eq!(*thinking, json!({"thinkingBudget": 77, "includeThoughts": true}));
        assert_eq!(
            (&body["cachedContent"], body["safetySettings"][0]["category"].as_str()),
            (&json!("cachedContents/1"), Some("c"))
        );
        assert!(dropped.is_empty());
    }
}

#[test]
fn which_tool_is_called() {
    let calling = |choice: Value| {
        let (body, _) = with("gemini-2.5-flash", &json!({"tools": lookup(), "tool_choice": choice}));
        body["toolConfig"]["functionCallingConfig"].clone()
    };
    assert_eq!(calling(json!("none")), json!({"mode": "NONE"}));
    assert_eq!(calling(json!("required")), json!({"mode": "ANY"}));
    let named = json!({"type": "function", "function": {"name": "lookup"}});
    assert_eq!(calling(named), json!({"mode": "ANY", "allowedFunctionNames": ["lookup"]}));
    let allowed = |mode: &str| json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [{"type": "function", "function": {"name": "lookup"}}]}});
    assert_eq!(calling(allowed("required")), json!({"mode": "ANY", "allowedFunctionNames": ["lookup"]}));
    let two = json!([lookup()[0], {"type": "function", "function": {"name": "other"}}]);
    let (body, _) = with("gemini-2.5-flash", &json!({"tools": two, "tool_choice": allowed("auto")}));
    assert_eq!(body["tools"][0]["functionDeclarations"].as_array().unwrap().len(), 1);
    // No tools, nothing to choose; a tool of another's is reported.
    assert!(with("m", &json!({"tool_choice": "auto"})).0.get("toolConfig").is_none());
    let (body, dropped) = with("m", &json!({"tools": [{"type": "web_search"}]}));
    assert!(body.get("tools").is_none() && dropped == ["tools[0]"]);
}

#[test]
fn schemas_of_arguments() {
    let declared = |function: Value| {
        let tools = json!([{"type": "function", "function": function}]);
        with("gemini-2.5-flash", &json!({"tools": tools})).0["tools"][0]["functionDeclarations"][0].clone()
    };
    assert_eq!(declared(json!({"name": "f"})), json!({"name": "f"}));
    let empty = declared(json!({"name": "f", "parameters": {}}));
    assert_eq!(empty["parametersJsonSchema"], json!({"type": "object"}));
    let refers = json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}});
    assert_eq!(declared(json!({"name": "f", "parameters": refers}))["parametersJsonSchema"], refers);
}

#[test]
fn json_beside_tools() {
    let format = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}});
    let mut parameters = json!({"tools": lookup(), "response_format": format});
    let (new, dropped) = with("gemini-3.1-pro-preview", &parameters);
    assert!(dropped.is_empty() && new["generationConfig"]["responseJsonSchema"].is_object());
    let (old, dropped) = with("gemini-2.5-flash", &parameters);
    assert!(old.get("generationConfig").is_none() && dropped == ["response_format"]);
    assert!(old["systemInstruction"]["parts"][0]["text"].as_str().unwrap().contains(r#"{"type":"object"}"#));
    parameters["tool_choice"] = "none".into();
    let (barred, dropped) = with("gemini-2.5-flash", &parameters);
    assert!(dropped.is_empty() && barred.get("tools").is_none() && barred.get("toolConfig").is_none());
    assert_eq!(barred["generationConfig"]["responseMimeType"], "application/json");
}

#[test]
fn parallel_calls_and_their_answers() {
    let messages = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "", "reasoning_content": "foreign",
            "thinking_blocks": [{"type": "thinking", "thinking": "foreign", "signature": "sig"}],
            "tool_calls": [call("c1", "a", "{}"), call("c2", "b", ""), call("c3", "a", "no json")]},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c3", "content": [
            {"type": "text", "text": "three"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        {"role": "user", "content": "and now?"}]);
    let call = |id: &str, name: &str, args: Value| json!({"functionCall": {"id": id, "name": name, "args": args}});
    let result = |id: &str, name: &str, text: &str| json!({"functionResponse": {"id": id, "name": name, "response": {"result": text}}});
    let expected = |first: Value| {
        json!([
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [first, call("c2", "b", json!({})), call("c3", "a", json!({"arguments": "no json"}))]},
            {"role": "user", "parts": [
                result("c2", "b", "two"), result("c1", "a", "one"), result("c3", "a", "three"),
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, {"text": "and now?"}]}])
    };
    let first = call("c1", "a", json!({}));
    assert_eq!(contents("gemini-2.5-flash", &messages), expected(first.clone()));
    // Another provider's calls: from 3 on the first of a step says that no signature is to be expected.
    let mut marked = first;
    marked["thoughtSignature"] = signed::NOT_OURS.into();
    assert_eq!(contents("gemini-3-flash-preview", &messages), expected(marked));
}

#[test]
fn turns_that_google_would_refuse() {
    for (messages, roles) in [
        (json!([{"role": "system", "content": "only this"}]), "u"),
        (json!([{"role": "user", "content": ""}]), "u"),
        (json!([{"role": "assistant", "content": "I begin"}, {"role": "user", "content": "x"}]), "umu"),
        (json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]), "umu"),
        (
            json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}, {"role": "user", "content": "y"}]),
            "u",
        ),
        (json!([{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]), "u"),
        (json!([{"role": "assistant", "content": null}]), "u"),
    ] {
        let contents = contents("gemini-3.6-flash", &messages);
        let found: String =
            contents.as_array().unwrap().iter().map(|turn| &turn["role"].as_str().unwrap()[..1]).collect();
        assert_eq!(found, roles, "{messages}");
        for turn in contents.as_array().unwrap() {
            for part in turn["parts"].as_array().unwrap() {
                assert_ne!(part["text"], "", "{messages}");
            }
            assert_ne!(turn["parts"], json!([]), "{messages}");
        }
    }
}

#[test]
fn media() {
    let part = |part: Value| {
        let messages = json!([{"role": "user", "content": [part]}]);
        contents("gemini-2.5-flash", &messages)[0]["parts"][0].take()
    };
    let image = |url: &str| part(json!({"type": "image_url", "image_url": {"url": url}}));
    assert_eq!(
        image("https://h/a.PNG?x=1"),
        json!({"fileData": {"mimeType": "image/png", "fileUri": "https://h/a.PNG?x=1"}})
    );
    assert_eq!(image("https://h/a"), json!({"fileData": {"mimeType": "image/jpeg", "fileUri": "https://h/a"}}));
    let own = "https://generativelanguage.googleapis.com/v1beta/files/abc";
    assert_eq!(image(own), json!({"fileData": {"fileUri": own}}));
    assert_eq!(part(json!({"type": "file", "file": {"file_id": "files/abc"}})), json!({"fileData": {"fileUri": own}}));
    let audio = json!({"type": "input_audio", "input_audio": {"data": "AA\nAA", "format": "mp3"}});
    assert_eq!(part(audio), json!({"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}}));
    let pdf = json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}});
    assert_eq!(part(pdf), json!({"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}}));
    let elsewhere =
        json!({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]});
    assert!(refused(&elsewhere).starts_with("messages[0].content[0]: "));
}

#[test]
fn models_without_instructions_get_them_from_the_user() {
    let request = json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]});
    let sent = body("gemma-3-27b-it", &request);
    assert!(sent.get("systemInstruction").is_none());
    assert_eq!(sent["contents"], json!([{"role": "user", "parts": [{"text": "s"}, {"text": "u"}]}]));
}

#[test]
fn names_that_google_does_not_take_come_back_as_they_were() {
    let tools = json!([{"type": "function", "function": {"name": "1st-lookup"}}]);
    let messages = json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": null, "tool_calls": [call("c1", "1st-lookup", "{}")]},
        {"role": "tool", "tool_call_id": "c1", "content": "y"}]);
    let choice = json!({"type": "function", "function": {"name": "1st-lookup"}});
    let made = prepared("gemini-2.5-flash", &json!({"messages": messages, "tools": tools, "tool_choice": choice}));
    let sent: Value = serde_json::from_slice(&made.outgoing.body).unwrap();
    let name = sent["tools"][0]["functionDeclarations"][0]["name"].clone();
    assert!(name.as_str().unwrap().starts_with('_'));
    for other in [
        &sent["contents"][1]["parts"][0]["functionCall"]["name"],
        &sent["contents"][2]["parts"][0]["functionResponse"]["name"],
        &sent["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"][0],
    ] {
        assert_eq!(*other, name);
    }
    let says = json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": name, "args": {}}}]}}]});
    let done = read_answer(&endpoint("m"), &made.reading, answer(&says.to_string())).unwrap();
    let done: Value = serde_json::from_slice(&done.answer.body).unwrap();
    assert_eq!(done["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "1st-lookup");
}

/// A model's parts go to the caller as a message and come back as the same parts.
fn round_trip(parts: &Value, forget: bool, legacy: bool) -> Value {
    let says = json!({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]});
    let reading = Reading { legacy_functions: legacy, ..Reading::default() };
    let done = read_answer(&endpoint("m"), &reading, answer(&says.to_string())).unwrap();
    let mut done: Value = serde_json::from_slice(&done.answer.body).unwrap();
    let mut message = done["choices"][0]["message"].take();
    if forget {
        message.as_object_mut().unwrap().remove("extra_content");
        for call in message["tool_calls"].as_array_mut().into_iter().flatten() {
            call.as_object_mut().unwrap().remove("extra_content");
        }
    }
    let mut messages = vec![json!({"role": "user", "content": "x"}), message.clone()];
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "y"}));
    }
    if let Some(call) = message.get("function_call") {
        messages.push(json!({"role": "function", "name": call["name"], "content": "y"}));
    }
    contents("gemini-3-flash-preview", &messages.into())[1]["parts"].take()
}

#[test]
fn signatures_come_back_where_they_were() {
    let text = json!({"text": "I look.", "thoughtSignature": "dGV4dA=="});
    let first = json!({"functionCall": {"id": "id-r1", "name": "a", "args": {"x": [1, {"y": null}]}}, "thoughtSignature": "c2ln"});
    let second = json!({"functionCall": {"id": "id-r2", "name": "b", "args": {}}});
    for parts in [json!([text]), json!([text, first, second]), json!([first, second])] {
        assert_eq!(round_trip(&parts, false, false), parts);
    }
    // Callers who rebuild messages from the fields they know lose nothing that is required.
    assert_eq!(round_trip(&json!([first, second]), true, false), json!([first, second]));
    // The form before tools: one call, whose id is made anew.
    for forget in [false, true] {
        let back = round_trip(&json!([first]), forget, true);
        assert_eq!(back[0]["thoughtSignature"], "c2ln");
        assert_eq!(back[0]["functionCall"]["args"], first["functionCall"]["args"]);
    }
}

#[test]
fn every_signed_part_comes_back_as_it_was() {
    let text = |text: &str, signature: &str| json!({"text": text, "thoughtSignature": signature});
    let thought = json!({"text": "I th\u{ef}nk.", "thought": true, "thoughtSignature": "czA="});
    let call = |name: &str| json!({"functionCall": {"id": format!("id-{name}"), "name": name, "args": {"a": 1}}, "thoughtSignature": name});
    for parts in [
        json!([text("One, ", "czE="), text("tw\u{f6}.", "czI=")]),
        json!([{"text": "One, "}, text("two.", "czI=")]),
        json!([text("One, ", "czE="), {"text": "two."}]),
        json!([thought, {"text": "So"}, text(" it is.", "czE=")]),
        json!([thought, text("It is.", "czE="), call("e1"), call("e2")]),
        json!([call("e3"), text("I look", "czE="), call("e4")]),
        json!([call("e5"), {"text": "and see."}]),
    ] {
        assert_eq!(round_trip(&parts, false, false), parts);
    }
    // The signature of an empty part is that of the text before it; thoughts that are not signed stay away.
    let streamed = json!([{"text": "hm", "thought": true}, {"text": "One."}, text("", "czE=")]);
    assert_eq!(round_trip(&streamed, false, false), json!([text("One.", "czE=")]));
    let twice = json!([text("One.", "czE="), text("", "czI=")]);
    assert_eq!(round_trip(&twice, false, false), twice);
}

#[test]
fn long_numbers_keep_their_digits_both_ways() {
    let arguments = r#"{"id":12345678901234567890123,"x":[0.12345678901234567890,1e400],"n":7}"#;
    let says = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"id":"n1","name":"f","args":{arguments}}}}}]}},"finishReason":"STOP"}}]}}"#
    );
    let done = read_answer(&endpoint("m"), &Reading::default(), answer(&says)).unwrap();
    let done: Value = serde_json::from_slice(&done.answer.body).unwrap();
    let message = &done["choices"][0]["message"];
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], arguments);
    let result = json!({"role": "tool", "tool_call_id": "n1", "content": "y"});
    let request = json!({"messages": [{"role": "user", "content": "x"}, message, result]});
    let sent = prepared("gemini-2.5-flash", &request).outgoing.body;
    assert!(std::str::from_utf8(&sent).unwrap().contains(&format!(r#""args":{arguments}"#)));
    let (mut reader, mut out) = (stream::Reader::of(&Reading::default()), Vec::new());
    assert!(reader.read(&endpoint("m"), says.into(), &mut out).unwrap().is_continue());
    let chunk: Value = serde_json::from_slice(&out[0].data).unwrap();
    assert_eq!(chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"], arguments);
}

#[test]
fn parts_of_a_message_that_was_changed_count_for_nothing() {
    let google = |parts: Value| json!({"google": {"thought_signature": "czI=", "parts": parts}});
    for parts in [
        json!([{"text": 3, "thought_signature": "czE="}, {"text": 9}]),
        json!([{"text": 7}, {"calls": 1}]),
        json!([{"text": 7}, {"thought": 4, "thought_signature": "czE="}]),
        json!([{"text": -7}]),
        json!([{"text": u64::MAX}, {"text": 8}]),
        json!([7]),
    ] {
        let message = json!({"role": "assistant", "content": "changed", "extra_content": google(parts.clone())});
        let messages = json!([{"role": "user", "content": "x"}, message]);
        let back = contents("gemini-3-flash-preview", &messages)[1]["parts"].take();
        assert_eq!(back, json!([{"text": "changed", "thoughtSignature": "czI="}]), "{parts}");
    }
}

#[test]
fn a_call_without_an_id_gets_one_that_leads_to_its_signature() {
    let call = json!({"functionCall": {"name": "nameless", "args": {"q": 1}}, "thoughtSignature": "bmFtZQ=="});
    let back = round_trip(&json!([call]), true, false);
    assert_eq!(
        (&back[0]["thoughtSignature"], &back[0]["functionCall"]["name"]),
        (&json!("bmFtZQ=="), &json!("nameless"))
    );
}

#[test]
fn places_of_what_is_wrong() {
    assert!(refused(&json!({"messages": []})).contains("messages"));
    assert!(
        refused(&json!({"messages": [{"role": "user", "content": [{"type": "video"}]}]}))
            .contains("messages[0].content[0]")
    );
}

fn text_of() -> impl Strategy<Value = String> {
    "\\PC{1,8}"
}

proptest! {
    /// Text, calls with any arguments and signatures survive the way to the caller and back.
    #[test]
    fn what_a_model_said_comes_back(
        said in prop::option::of((text_of(), prop::option::of(Just("dGV4dA==")))),
        calls in prop::collection::vec(("[a-zA-Z_][a-zA-Z0-9_]{0,8}", text_of(), any::<i32>()), 0..4),
        forget in any::<bool>(),
    ) {
        let mut parts: Vec<Value> = Vec::new();
        if let Some((text, signature)) = &said {
            let mut part = json!({"text": text});
            if let Some(signature) = signature.filter(|_| !forget) {
                part["thoughtSignature"] = signature.into();
            }
            parts.push(part);
        }
        for (at, (name, text, number)) in calls.iter().enumerate() {
            let id = format!("p{at}");
            let mut part = json!({"functionCall": {"id": id, "name": name, "args": {text.as_str(): number}}});
            if at == 0 {
                part["thoughtSignature"] = format!("sig-{name}-{text}-{number}").into();
            }
            parts.push(part);
        }
        prop_assume!(!parts.is_empty());
        let parts = Value::from(parts);
        prop_assert_eq!(round_trip(&parts, forget, false), parts);
    }
}
