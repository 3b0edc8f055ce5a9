//! What a request may use at most, as far as its bytes tell.
//!
//! A token of text has a byte at least, so the bytes of the body bound the tokens of what is in it. What it only refers to
//! (files, searches) may fill the model's context, and images are counted apart: a small file may be a large picture.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde_json::Value;

use super::body::{Change, Fields};
use super::marks::Marks;
use super::request::ChatRequest;
use crate::error::{Error, Result};
use crate::pricing::ServiceTier;

/// More tokens than any model counts for one image.
const IMAGE: u64 = 50_000;
/// What providers add where there are tools: `Anthropic` counts up to 530 tokens.
const TOOLS: u64 = 600;

/// What a request may use at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    /// Tokens of the prompt, all but what is only referred to.
    pub input: u64,
    /// It refers to what is not in it: the prompt may be as long as the model takes.
    pub refers: bool,
    /// The longest answer the caller allows, hidden reasoning included; `None` where he does not say.
    pub output: Option<u64>,
    /// How many answers.
    pub answers: u64,
    /// The class of service asked for.
    pub tier: Option<ServiceTier>,
    /// Parts are marked to be written to the provider's cache.
    pub cached: bool,
    /// Sound may be heard or made.
    pub audio: bool,
}

impl Demand {
    /// That of `request`.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) where it is not one JSON object, and for a limit or a number of answers that is
    /// none: nobody could say what it comes to.
    pub fn of(request: &ChatRequest) -> Result<Self> {
        let body = request.bytes();
        let fields = Fields::read(body)?;
        let whole = |name: &str| match fields.get(name) {
            None => Ok(None),
            Some(given) => match serde_json::from_slice::<u64>(given) {
                Ok(number) if number > 0 => Ok(Some(number)),
                _ => Err(Error::value(format!(
                    "`{name}` must be a whole number above 0, found {}",
                    String::from_utf8_lossy(&given[..given.len().min(40)])
                ))),
            },
        };
        let marks = Marks::of(body);
        let looks = marks.any(Marks::IMAGES) || may_refer(body);
        let Beyond { images, refers } = if looks { beyond(request)? } else { Beyond::default() };
        let tier = fields.get("service_tier").and_then(|tier| serde_json::from_slice::<String>(tier).ok());
        let fast = fields.get("speed") == Some(b"\"fast\"");
        let tools = if marks.any(Marks::TOOLS) { TOOLS } else { 0 };
        Ok(Self {
            input: (body.len() as u64).saturating_add(images).saturating_add(tools),
            refers,
            output: whole("max_completion_tokens")?.max(whole("max_tokens")?),
            answers: whole("n")?.max(whole("best_of")?).unwrap_or(1),
            tier: if fast { Some(ServiceTier::Fast) } else { tier.as_deref().and_then(ServiceTier::named) },
            cached: marks.any(Marks::CACHE),
            audio: marks.any(Marks::AUDIO),
        })
    }
}

/// `request` with a limit on its answers, hidden reasoning included.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) where it is not one JSON object.
pub fn limited(request: &ChatRequest, output: u64) -> Result<ChatRequest> {
    let changes: [Change; 1] = [("max_completion_tokens", Some(output.to_string().into_bytes()))];
    Ok(ChatRequest::new(Fields::read(request.bytes())?.write(&changes)))
}

/// Whether a body may refer to something outside; only then is it parsed. Parts of messages that are not plain text have a
/// type.
fn may_refer(body: &[u8]) -> bool {
    static NAMES: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        let names = [
            "\"type\"",
            "\"search_parameters\"",
            "\"web_search_options\"",
            "\"mcp_servers\"",
            "\"plugins\"",
            "\"tools\"",
        ];
        AhoCorasick::new(names).ok()
    });
    NAMES.as_ref().is_none_or(|names| names.is_match(body))
}

/// What a body does not hold.
#[derive(Debug, Default)]
struct Beyond {
    /// Tokens that images may take beyond their bytes.
    images: u64,
    /// Something outside is referred to.
    refers: bool,
}

impl Beyond {
    /// With the content of a message, or of a part of one.
    fn content(&mut self, content: Option<&Value>) {
        match content {
            Some(Value::Array(parts)) => parts.iter().for_each(|part| self.part(part)),
            // No form that is known; a provider may know it.
            Some(Value::Object(_)) => self.refers = true,
            _ => {}
        }
    }

    fn part(&mut self, part: &Value) {
        match kind(part) {
            "image_url" | "image" | "input_image" => {
                let places = ["/image_url/url", "/image_url", "/source/data", "/source/url"];
                let said = places.iter().find_map(|place| part.pointer(place)?.as_str());
                let data = part.pointer("/source/type").is_some_and(|kind| kind == "base64");
                let inside = said.filter(|said| data || said.starts_with("data:")).map_or(0, |said| said.len() as u64);
                self.images = self.images.saturating_add(IMAGE.saturating_sub(inside));
            }
            "tool_result" => self.content(part.get("content")),
            "text" | "input_text" | "output_text" | "refusal" | "input_audio" | "thinking" | "redacted_thinking"
            | "tool_use" => {}
            // A text without a type; of anything else nobody knows what it stands for.
            "" if part.is_string() => {}
            _ => self.refers = true,
        }
    }
}

/// What `request` does not hold itself.
fn beyond(request: &ChatRequest) -> Result<Beyond> {
    let object = request.object()?;
    let list = |name: &str| object.get(name).and_then(Value::as_array).into_iter().flatten();
    let own = |tool: &Value| matches!(kind(tool), "function" | "custom") || tool.get("input_schema").is_some();
    let outside = ["web_search_options", "mcp_servers", "plugins", "search_parameters"];
    let refers = outside.iter().any(|name| object.get(*name).is_some_and(|value| !value.is_null()))
        || list("tools").any(|tool| !own(tool));
    let mut beyond = Beyond { images: 0, refers };
    for message in list("messages") {
        beyond.content(message.get("content"));
    }
    Ok(beyond)
}

/// Whether a request for embeddings holds more than texts and tokens: images, say, or where they are.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) where it is not one JSON object.
pub fn embeds_more(request: &ChatRequest) -> Result<bool> {
    fn holds_object(value: &Value) -> bool {
        match value {
            Value::Object(_) => true,
            Value::Array(items) => items.iter().any(holds_object),
            _ => false,
        }
    }
    // Besides the body's own bracket.
    let may = request.bytes().iter().filter(|byte| **byte == b'{').nth(1).is_some();
    Ok(may && request.object()?.values().any(holds_object))
}

fn kind(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(body: &Value) -> Demand {
        Demand::of(&ChatRequest::new(body.to_string())).unwrap()
    }

    #[test]
    fn a_body_says_how_long_its_answers_may_be() {
        let plain = json!({"messages": [{"role": "user", "content": "search my \"file\" with mcp"}]});
        let length = plain.to_string().len() as u64;
        assert_eq!(of(&plain), Demand { input: length, answers: 1, ..Demand::default() });
        let both = of(&json!({"max_tokens": 7, "max_completion_tokens": 5, "n": 3, "service_tier": "priority"}));
        assert_eq!((both.output, both.answers, both.tier), (Some(7), 3, Some(ServiceTier::Priority)));
        assert_eq!(of(&json!({"max_tokens": null, "n": null})).output, None);
        for wrong in [json!({"max_tokens": -1}), json!({"n": 0}), json!({"max_completion_tokens": 1.5}), json!([])] {
            let error = Demand::of(&ChatRequest::new(wrong.to_string())).unwrap_err();
            assert_eq!(error.kind(), crate::Kind::Value, "{wrong}");
        }
    }

    #[test]
    fn what_is_not_in_the_body_is_counted_all_the_same() {
        let part = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
        let image = of(&part(json!({"type": "image_url", "image_url": {"url": "https://h/x.png"}})));
        assert!(image.input > IMAGE && !image.refers);
        let data = format!("data:image/png;base64,{}", "A".repeat(60_000));
        let inside = of(&part(json!({"type": "image_url", "image_url": {"url": data}})));
        assert!(inside.input > 60_000 && inside.input < 61_000);
        assert!(of(&part(json!({"type": "file", "file": {"file_id": "f"}}))).refers);
        assert!(of(&json!({"web_search_options": {}, "messages": []})).refers);
        assert!(of(&json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]})).refers);
        let function = json!({"tools": [{"type": "function", "function": {"name": "search_files"}}]});
        let tools = of(&function);
        assert_eq!((tools.refers, tools.input), (false, function.to_string().len() as u64 + TOOLS));
    }

    #[test]
    fn no_spelling_of_an_image_is_free() {
        let part = |part: Value| of(&json!({"messages": [{"role": "user", "content": [part]}]}));
        for image in [
            json!({"type": "image", "source": {"type": "url", "url": "https://h/x.png"}}),
            json!({"type": "input_image", "image_url": "https://h/x.png"}),
            json!({"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": "https://h/x"}}]}),
        ] {
            assert!(part(image.clone()).input > IMAGE, "{image}");
        }
        for other in [json!({"type": "input_file", "file_url": "https://h/x.pdf"}), json!({"type": "new"})] {
            assert!(part(other.clone()).refers, "{other}");
        }
        assert!(!part(json!({"type": "text", "text": "type"})).refers);
        assert!(of(&json!({"messages": [{"role": "user", "content": {"type": "image"}}]})).refers);
        assert_eq!(of(&json!({"best_of": 9, "n": 2})).answers, 9);
    }

    #[test]
    fn embeddings_of_more_than_text_are_told() {
        let more = |body: Value| embeds_more(&ChatRequest::new(body.to_string())).unwrap();
        assert!(!more(json!({"input": ["a {b}", "c"], "model": "m"})) && !more(json!({"input": [[1, 2]]})));
        assert!(more(json!({"input": [{"image": "https://h/x"}]})) && more(json!({"messages": [{"content": []}]})));
    }

    #[test]
    fn a_limit_is_written_beside_what_the_caller_wrote() {
        let request = ChatRequest::new(r#"{"max_tokens":null, "messages": [] }"#);
        let limited = limited(&request, 77).unwrap();
        assert_eq!(&limited.bytes()[..], br#"{"max_completion_tokens":77,"max_tokens":null, "messages": [] }"#);
        assert_eq!(Demand::of(&limited).unwrap().output, Some(77));
    }
}
