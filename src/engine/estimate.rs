//! Tokens of requests and answers that nobody has counted.

use serde_json::Value;

use crate::providers::ChatRequest;
pub(super) use crate::text::tokens::of_chars as tokens;
use crate::text::tokens::{PER_IMAGE, PER_MESSAGE};
use crate::text::view::chars_in;

/// Tokens of a request's messages and tools, or of what it wants embeddings of.
pub(super) fn prompt_tokens(request: &ChatRequest) -> u64 {
    let Ok(body) = request.object() else { return 0 };
    let messages = body.get("messages").and_then(Value::as_array).into_iter().flatten();
    let texts: u64 = messages.map(|message| PER_MESSAGE + message_tokens(message)).sum();
    let tools = ["tools", "functions"].iter().filter_map(|name| body.get(*name)).map(|tools| tokens(chars_in(tools)));
    let embedded = body.get("input").map_or(0, |input| tokens(chars_in(input)));
    texts + tools.sum::<u64>() + embedded
}

fn message_tokens(message: &Value) -> u64 {
    let content = match message.get("content") {
        Some(Value::String(text)) => tokens(text.chars().count()),
        Some(Value::Array(parts)) => parts.iter().map(part_tokens).sum(),
        _ => 0,
    };
    content + message.get("tool_calls").map_or(0, |calls| tokens(chars_in(calls)))
}

fn part_tokens(part: &Value) -> u64 {
    match part.get("text").or(part.get("refusal")) {
        Some(Value::String(text)) => tokens(text.chars().count()),
        // Its bytes say nothing about its tokens.
        _ => PER_IMAGE,
    }
}

/// Characters of the answers in a body: texts, reasoning, arguments of tool calls.
pub(super) fn answer_chars(body: &[u8]) -> usize {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return 0 };
    let choices = body.get("choices").and_then(Value::as_array).into_iter().flatten();
    let parts = |choice: &Value| {
        let message = choice.get("message")?;
        let names = ["content", "reasoning_content", "refusal", "tool_calls", "function_call"];
        Some(names.iter().filter_map(|name| message.get(*name)).map(chars_in).sum::<usize>())
    };
    choices.filter_map(parts).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_about_a_quarter_of_its_characters() {
        let image = "A".repeat(100_000);
        let body = serde_json::json!({"messages": [
            {"role": "user", "content": "x".repeat(400)},
            {"role": "user", "content": [{"type": "text", "text": "y".repeat(40)},
                                         {"type": "image_url", "image_url": {"url": image}}]},
            {"role": "assistant", "content": null, "tool_calls": [{"function": {"arguments": "z".repeat(76)}}]}]});
        let request = ChatRequest::new(body.to_string());
        assert_eq!(prompt_tokens(&request), 3 * 4 + 100 + 10 + 765 + 24);
        assert_eq!(prompt_tokens(&ChatRequest::new("[]")), 0);
        assert_eq!(prompt_tokens(&ChatRequest::new(r#"{"input":["abcd","efgh"]}"#)), 2);
        assert_eq!(answer_chars(br#"{"choices":[{"message":{"content":"abc"}},{"message":null}]}"#), 3);
        assert_eq!((tokens(0), tokens(1), tokens(8)), (0, 1, 2));
    }
}
