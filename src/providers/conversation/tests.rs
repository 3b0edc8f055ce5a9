use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::providers::testing::any_json;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other}"),
    }
}

fn messages(list: &Value) -> Map<String, Value> {
    object(json!({ "messages": list }))
}

/// Roles, and one word for each part.
fn outline(conversation: &Conversation<'_>) -> Vec<(Role, String)> {
    let word = |part: &Part<'_>| match &part.content {
        Content::Text(text) => (*text).to_owned(),
        Content::Refusal(text) => format!("refusal {text}"),
        Content::Image(media) => format!("image {:?}", media.source),
        Content::Audio(media) => format!("audio {:?}", media.source),
        Content::File(media) => format!("file {:?}", media.source),
        Content::Call(call) => format!("{}={}({})", call.id, call.name, call.arguments),
        Content::Result(result) => format!("{}={}:{}", result.id, result.name, result.text()),
        Content::Reasoning(reasoning) => {
            format!("{:?} {} {:?}", reasoning.text, reasoning.blocks.len(), reasoning.thought_signature)
        }
    };
    conversation
        .turns
        .iter()
        .map(|turn| (turn.role, turn.parts.iter().map(word).collect::<Vec<_>>().join(" | ")))
        .collect()
}

#[test]
fn turns_alternate_and_results_come_first() {
    let object = messages(&json!([
        {"role": "system", "content": "one"},
        {"role": "user", "content": "hello"},
        {"role": "user", "content": [{"type": "text", "text": "again"}]},
        {"role": "developer", "content": [{"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "let me", "reasoning_content": "hm", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{\"q\":1}"}},
            {"id": "b", "type": "function", "function": {"name": "see", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "b", "content": "B"},
        {"role": "user", "content": "and?"},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "!"}]},
    ]));
    let read = Conversation::read(&object).unwrap();
    assert_eq!(read.system.iter().map(|text| text.text).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(
        outline(&read),
        [
            (Role::User, "hello | again".to_owned()),
            (Role::Assistant, r#"Some("hm") 0 None | let me | a=look({"q":1}) | b=see()"#.to_owned()),
            (Role::User, "b=see:B | a=look:A! | and?".to_owned()),
        ]
    );
}

#[test]
fn functions_before_tools() {
    let object = messages(&json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "2"},
    ]));
    let said: Vec<_> = outline(&Conversation::read(&object).unwrap()).into_iter().map(|(_, said)| said).collect();
    assert_eq!(said, ["x", "call_1=f({})", "call_1=f:1", "call_3=f({})", "call_3=f:2"]);
}

#[test]
fn media_of_every_kind() {
    let object = messages(&json!([{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:IMAGE/jpg;x=1;BASE64,AAAA", "detail": "low"}},
        {"type": "image_url", "image_url": "https://h/a.png"},
        {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ==", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "QQ==", "filename": "a.TXT"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]}]));
    let read = Conversation::read(&object).unwrap();
    let sources: Vec<_> = read.turns[0]
        .parts
        .iter()
        .map(|part| match &part.content {
            Content::Image(media) | Content::Audio(media) | Content::File(media) => media.source.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    let data = |mime: &'static str, base64| Source::Data { mime: mime.into(), base64 };
    assert_eq!(
        sources,
        [
            data("image/jpeg", "AAAA"),
            Source::Url("https://h/a.png"),
            data("audio/mp3", "QQ=="),
            data("application/pdf", "QQ=="),
            data("text/plain", "QQ=="),
            Source::Id("file-1"),
        ]
    );
}

#[test]
fn only_whole_proofs_count() {
    let object = messages(&json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "y", "extra_content": {"google": {"thought_signature": "S"}}, "thinking_blocks": [
            {"type": "thinking", "thinking": "a", "signature": "s"}, {"type": "thinking", "thinking": "a"},
            {"type": "redacted_thinking", "data": "d"}, {"type": "redacted_thinking"}, 7]},
    ]));
    let read = Conversation::read(&object).unwrap();
    assert_eq!(outline(&read)[1].1, r#"None 2 Some("S") | y"#);
}

#[test]
fn nothing_but_system_texts_is_the_users_turn() {
    let object = messages(&json!([{"role": "system", "content": "write"}]));
    let read = Conversation::read(&object).unwrap();
    assert!(read.system.is_empty());
    assert_eq!(outline(&read), [(Role::User, "write".to_owned())]);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (list, told) in [
        (json!([]), "`messages` must be a list"),
        (json!([7]), "messages[0]: expected an object"),
        (json!([{"role": "robot"}]), "found `robot`"),
        (
            json!([{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "video"}]}]),
            "messages[1].content[1]: ",
        ),
        (
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]),
            "messages[0].content[0]: the URL of an image",
        ),
        (json!([{"role": "tool", "content": "x"}]), "tool_call_id"),
        (json!([{"role": "tool", "tool_call_id": "c", "content": "x"}]), "no message before it makes"),
        (json!([{"role": "assistant", "tool_calls": [{"id": "c"}]}]), "tool_calls[0]"),
        (json!([{"role": "system", "content": [{"type": "image_url", "image_url": "https://h"}]}]), "text only"),
    ] {
        let error = Conversation::read(&messages(&list)).map(|_| ()).unwrap_err();
        assert!(error.message().contains(told), "{list}: {error}");
    }
}

#[test]
fn parameters_of_a_full_request() {
    let object = object(json!({
        "model": "m", "messages": [], "max_tokens": 5, "max_completion_tokens": 7.0, "temperature": 0, "stop": ["a", "b"], "n": 2,
        "tools": [{"type": "function", "function": {"name": "f", "strict": true, "parameters": {"type": "object"}}}, {"type": "web_search"}],
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false,
        "response_format": {"type": "json_schema", "json_schema": {"name": "ans", "schema": {"type": "object"}}},
        "reasoning_effort": "xhigh", "user": "u", "stream_options": {"include_usage": true},
        "logit_bias": {}, "metadata": null, "verbosity": "low", "store": false
    }));
    let read = Parameters::read(&object).unwrap();
    assert_eq!((read.max_tokens, read.temperature, read.n, read.effort), (Some(7), Some(0.0), 2, Some(Effort::Xhigh)));
    assert_eq!(read.stop, ["a", "b"]);
    assert_eq!(read.tool_choice, Some(ToolChoice::Named("f")));
    assert!(matches!(
        &read.tools[..],
        [Tool::Function(Function { name: "f", strict: Some(true), .. }), Tool::Other(_)]
    ));
    assert!(matches!(read.format, Format::Schema(Schema { name: "ans", .. })));
    assert!(read.include_usage && !read.legacy && read.parallel == Some(false));
    assert_eq!(read.others.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["verbosity", "store"]);
}

#[test]
fn parameters_before_tools_and_unknown_ones() {
    let object = object(json!({
        "functions": [{"name": "f", "parameters": {"type": "object"}}], "function_call": {"name": "f"}, "reasoning_effort": "ultra"
    }));
    let read = Parameters::read(&object).unwrap();
    assert!(read.legacy && read.effort.is_none());
    assert_eq!(read.tool_choice, Some(ToolChoice::Named("f")));
    assert_eq!(read.others[0].0, "reasoning_effort");
    let allowed = json!({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}}});
    let allowed = super::tests::object(allowed);
    assert_eq!(
        Parameters::read(&allowed).unwrap().tool_choice,
        Some(ToolChoice::Allowed { names: vec!["f"], required: true })
    );
}

#[test]
fn wrong_parameters_are_named() {
    for (name, value) in [
        ("max_tokens", json!(0)),
        ("max_tokens", json!("7")),
        ("n", json!(0)),
        ("n", json!(129)),
        ("stop", json!([7])),
        ("temperature", json!("hot")),
        ("tools", json!({})),
        ("tools", json!([{"type": "function"}])),
        ("tool_choice", json!("sometimes")),
        ("response_format", json!({"type": "xml"})),
        ("parallel_tool_calls", json!("no")),
    ] {
        let object = Map::from_iter([(name.to_owned(), value)]);
        let error = Parameters::read(&object).map(|_| ()).unwrap_err();
        assert!(error.message().contains(name), "{error}");
    }
}

/// Words that such JSON is made of.
const WORDS: [&str; 20] = [
    "role",
    "user",
    "assistant",
    "tool",
    "function",
    "system",
    "content",
    "type",
    "text",
    "image_url",
    "url",
    "file",
    "tool_calls",
    "id",
    "name",
    "tool_call_id",
    "arguments",
    "function_call",
    "thinking_blocks",
    "data:,;base64",
];

proptest! {
    /// Whatever stands in a request, it is read or refused; what is read alternates.
    #[test]
    fn never_panics(list in prop::collection::vec(any_json(&WORDS), 0..5)) {
        let object = messages(&Value::Array(list));
        if let Ok(read) = Conversation::read(&object) {
            prop_assert!(read.turns.windows(2).all(|pair| pair[0].role != pair[1].role) && !read.turns.is_empty());
        }
    }

    #[test]
    fn parameters_never_panic(values in prop::collection::vec(any_json(&WORDS), 26)) {
        let names = ["max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "n", "seed", "presence_penalty", "logprobs",
            "top_logprobs", "reasoning_effort", "reasoning", "tools", "functions", "tool_choice", "function_call", "parallel_tool_calls",
            "response_format", "user", "service_tier", "stream_options", "x", "frequency_penalty", "safety_identifier", "metadata", "store"];
        let object: Map<_, _> = names.iter().map(|name| (*name).to_owned()).zip(values).collect();
        let _ = Parameters::read(&object);
    }
}
