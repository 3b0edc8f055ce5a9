//! Whatever is asked, every Claude is sent what it takes, and nothing that was said is lost.

use std::collections::HashSet;

use super::*;

const MODELS: [&str; 12] = [
    "claude-3-haiku-20240307",
    "claude-3-5-sonnet-20241022",
    "claude-3-7-sonnet-20250219",
    "claude-sonnet-4-20250514",
    "claude-opus-4-1",
    "claude-haiku-4-5",
    "claude-opus-4-6",
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-sonnet-5-5",
    "claude-fable-5",
];

/// The number in a name, read apart from what is tested.
fn number(model: &str) -> (u32, u32) {
    let mut words = model.split('-').map(|word| word.parse::<u32>().ok().filter(|number| *number < 100));
    let major = words.find_map(|word| word).unwrap();
    (major, words.next().flatten().unwrap_or(0))
}

/// The tables of the format: what is refused, as text.
fn refused(model: &str, version: &str, body: &Value) -> Result<(), String> {
    let number = number(model);
    let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    let sampled = ["temperature", "top_p", "top_k"].iter().any(|name| body.get(*name).is_some());
    check(!sampled || (version == "2023-06-01" && number < (4, 7)), "sampling")?;
    check(body["temperature"].as_f64().is_none_or(|value| (0.0..=1.0).contains(&value)), "temperature")?;
    let room = body["max_tokens"].as_u64().ok_or("max_tokens")?;
    check(room > 0, "max_tokens")?;
    let thinking = body["thinking"]["type"].as_str();
    match thinking {
        None => {}
        Some("enabled") => {
            check(((3, 7)..(4, 6)).contains(&number), "enabled")?;
            let budget = body["thinking"]["budget_tokens"].as_u64().ok_or("budget")?;
            check((1024..room).contains(&budget) && !sampled, "budget")?;
        }
        Some("adaptive") => check(number >= (4, 6) && !sampled, "adaptive")?,
        Some("disabled") => check(((3, 7)..(5, 5)).contains(&number) && !model.contains("fable"), "disabled")?,
        Some(_) => return Err("thinking".to_owned()),
    }
    let effort = body.pointer("/output_config/effort").and_then(Value::as_str);
    check(effort.is_none() || number >= (4, 6), "effort")?;
    check(effort != Some("xhigh") || number >= (4, 7), "xhigh")?;
    check(thinking != Some("disabled") || !matches!(effort, Some("xhigh" | "max")), "effort without thinking")?;
    check(body.pointer("/output_config/format").is_none() || number >= (4, 5), "format")?;
    let names: Vec<_> =
        body["tools"].as_array().into_iter().flatten().map(|tool| tool["name"].as_str().unwrap()).collect();
    for tool in body["tools"].as_array().into_iter().flatten() {
        check(tool["input_schema"]["type"] == "object", "input_schema")?;
    }
    if let Some(choice) = body.get("tool_choice") {
        check(!names.is_empty(), "tool_choice without tools")?;
        let forced = matches!(choice["type"].as_str(), Some("any" | "tool"));
        check(!forced || !matches!(thinking, Some("enabled" | "adaptive")), "forced while thinking")?;
        check(!forced || (number < (5, 5) && !model.contains("fable")), "forced")?;
        check(choice["type"] != "tool" || names.contains(&choice["name"].as_str().unwrap()), "unknown tool")?;
        check(choice["type"] != "none" || choice.as_object().unwrap().len() == 1, "none")?;
    }
    for stop in body["stop_sequences"].as_array().into_iter().flatten() {
        check(!stop.as_str().unwrap().trim().is_empty(), "stop")?;
    }
    if let Some(system) = body.get("system") {
        check(system.as_str().is_none_or(|text| !text.trim().is_empty()), "system")?;
    }
    messages(body, number, &names)
}

fn messages(body: &Value, number: (u32, u32), names: &[&str]) -> Result<(), String> {
    let mut ids = HashSet::new();
    let mut waiting: Vec<String> = Vec::new();
    let list = body["messages"].as_array().unwrap();
    for (index, message) in list.iter().enumerate() {
        let role = if index % 2 == 0 { "user" } else { "assistant" };
        let broken = |what: &str| Err(format!("{what} in message {index}"));
        if message["role"] != role {
            return broken("role");
        }
        let plain = [json!({"type": "text", "text": message["content"]})];
        let blocks = message["content"].as_array().map_or(&plain[..], Vec::as_slice);
        if blocks.is_empty() {
            return broken("nothing");
        }
        let mut results = Vec::new();
        let mut after = false;
        for block in blocks {
            let id = |name: &str| block[name].as_str().unwrap().to_owned();
            match (block["type"].as_str().unwrap(), role) {
                ("text", _) if block["text"].as_str().unwrap().trim().is_empty() => return broken("empty text"),
                ("text" | "image" | "document", "user") | ("text", _) => after = true,
                ("tool_result", "user") if !after => results.push(id("tool_use_id")),
                ("tool_use", "assistant") => {
                    let fits = !id("id").is_empty()
                        && id("id").bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
                    if !fits || !ids.insert(id("id")) || !block["input"].is_object() || names.is_empty() {
                        return broken("call");
                    }
                    waiting.push(id("id"));
                }
                other => return broken(&format!("{other:?}")),
            }
        }
        if role == "user" {
            results.sort_unstable();
            waiting.sort_unstable();
            if results != waiting {
                return broken("results");
            }
            waiting.clear();
        }
    }
    let prefilled = list.last().unwrap()["role"] == "assistant";
    if prefilled && (number >= (4, 6) || body["thinking"]["type"] == "enabled" || !waiting.is_empty()) {
        return Err("prefilled".to_owned());
    }
    Ok(())
}

/// All texts that say something, in order, with ids of results left out.
fn said(messages: &Value) -> Vec<String> {
    fn walk(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::String(text) => out.extend([text.trim().to_owned()]),
            Value::Array(list) => list.iter().for_each(|part| walk(part, out)),
            Value::Object(part) => match part["type"].as_str() {
                Some("tool_result") => walk(&part["content"], out),
                Some("tool_use") => out.push(part["input"].to_string()),
                _ => walk(part.get("text").unwrap_or(&Value::Null), out),
            },
            _ => {}
        }
    }
    let mut out = Vec::new();
    for message in messages.as_array().unwrap() {
        walk(message.get("content").unwrap_or(&Value::Null), &mut out);
        for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            out.push(
                serde_json::from_str::<Value>(call["function"]["arguments"].as_str().unwrap()).unwrap().to_string(),
            );
        }
    }
    out.retain(|text| !text.is_empty() && !["(no text)", "Continue."].contains(&&**text));
    out
}

fn any_content() -> impl Strategy<Value = Value> {
    let text = prop_oneof![Just(String::new()), Just(" \n".to_owned()), "[a-z]{1,5}"];
    prop_oneof![
        text.clone().prop_map(Value::from),
        prop::collection::vec(text.prop_map(|text| json!({"type": "text", "text": text})), 1..3).prop_map(Value::from),
    ]
}

/// A step of a conversation: what the user says, what the assistant says, or calls with their results.
fn any_step() -> impl Strategy<Value = Vec<Value>> {
    let call = (
        prop_oneof![Just("call_0".to_owned()), "[a-z.:+]{1,50}"],
        "[a-c]",
        prop::collection::btree_map("[a-c]", any::<i32>(), 0..2),
        "[a-z]{0,3}",
    );
    prop_oneof![
        (prop_oneof![Just("user"), Just("system"), Just("developer"), Just("assistant")], any_content())
            .prop_map(|(role, content)| vec![json!({"role": role, "content": content})]),
        (any_content(), prop::collection::vec(call, 1..3)).prop_map(|(content, calls)| {
            let mut calls = calls;
            calls.dedup_by(|a, b| a.0 == b.0);
            let made: Vec<_> = calls
                .iter()
                .map(|(id, name, input, _)| {
                    json!({"id": id, "type": "function",
                "function": {"name": name, "arguments": serde_json::to_string(input).unwrap()}})
                })
                .collect();
            let mut messages = vec![json!({"role": "assistant", "content": content, "tool_calls": made})];
            // In this order, so that what was said can be compared.
            messages.extend(
                calls.iter().map(|(id, _, _, result)| json!({"role": "tool", "tool_call_id": id, "content": result})),
            );
            // Two assistants' messages with calls must not be neighbours.
            messages.push(json!({"role": "user", "content": "then"}));
            messages
        }),
    ]
}

fn any_parameters() -> impl Strategy<Value = Value> {
    let some = |value: BoxedStrategy<Value>| prop::option::of(value);
    let number = |range: std::ops::Range<f64>| some(range.prop_map(Value::from).boxed());
    let effort = prop_oneof!["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    let tool = |name: &'static str| json!({"type": "function", "function": {"name": name, "strict": true, "parameters": {"type": "object", "properties": {}}}});
    let tools = prop_oneof![Just(json!([tool("a")])), Just(json!([tool("a"), tool("b")]))];
    let choice = prop_oneof![
        Just(json!("auto")),
        Just(json!("none")),
        Just(json!("required")),
        Just(json!({"type": "function", "function": {"name": "a"}}))
    ];
    let format = prop_oneof![
        Just(json!({"type": "json_object"})),
        Just(json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}))
    ];
    (
        (
            number(0.0..2.0),
            number(0.0..1.0),
            some((1..40_000_u64).prop_map(Value::from).boxed()),
            some(effort.prop_map(Value::from).boxed()),
        ),
        (
            some(tools.boxed()),
            some(choice.boxed()),
            some(any::<bool>().prop_map(Value::from).boxed()),
            some(format.boxed()),
        ),
        some(prop_oneof![Just(json!(" ")), Just(json!(["a", "\n"]))].boxed()),
    )
        .prop_map(|((temperature, top_p, most, effort), (tools, choice, parallel, format), stop)| {
            let has_tools = tools.is_some();
            let named = [
                ("temperature", temperature),
                ("top_p", top_p),
                ("max_completion_tokens", most),
                ("reasoning_effort", effort),
                ("tools", tools),
                ("tool_choice", choice.filter(|_| has_tools)),
                ("parallel_tool_calls", parallel.filter(|_| has_tools)),
                ("response_format", format),
                ("stop", stop),
            ];
            named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>().into()
        })
}

proptest! {
    #[test]
    fn every_claude_takes_every_request(
        steps in prop::collection::vec(any_step(), 1..5), parameters in any_parameters(), model in prop::sample::select(&MODELS[..])
    ) {
        let messages: Vec<Value> = steps.concat();
        let mut request = parameters;
        request["model"] = "x".into();
        request["messages"] = messages.clone().into();
        let prepared = prepare(model, &request);
        let body = body(&prepared);
        prop_assert_eq!(refused(model, version(&prepared), &body), Ok(()), "{}", body);
        // Nothing that was said is lost. Neighbours are joined, so texts are compared, not turns.
        let spoken: Vec<Value> = messages.iter().filter(|message| !["system", "developer"].contains(&message["role"].as_str().unwrap())).cloned().collect();
        if !spoken.is_empty() {
            prop_assert_eq!(said(&body["messages"]), said(&spoken.into()));
        }
        let system: Vec<Value> = messages.iter().filter(|message| ["system", "developer"].contains(&message["role"].as_str().unwrap())).cloned().collect();
        let told = body["system"].as_str().unwrap_or_default().to_owned() + &body["messages"].to_string();
        for text in said(&system.into()) {
            prop_assert!(told.contains(&text));
        }
    }
}
