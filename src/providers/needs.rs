//! What a request needs of its model, and whether the model has it.

use serde_json::Value;

use super::Endpoint;
use super::marks::Marks;
use super::request::ChatRequest;
use crate::error::{Error, Kind, Result};
use crate::pricing::{Facts, Table};

/// Whose models take custom tools, and servers of which nobody knows. No other protocol has a form for them.
const CUSTOM: [&str; 4] = ["openai", "azure", "azure_ai", "custom_openai"];

/// Abilities without which an answer would be another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// It is shown images.
    pub images: bool,
    /// It is told to listen, or to speak.
    pub audio: bool,
    /// It is given tools.
    pub tools: bool,
    /// Among them is a custom one, whose input is text of any form.
    pub custom: bool,
}

impl Needs {
    /// Those of `request`.
    ///
    /// # Errors
    /// [`Kind::Value`] when it is not one JSON object.
    pub fn of(request: &ChatRequest) -> Result<Self> {
        let object = request.object()?;
        let filled = |name: &str| object.get(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        let messages = object.get("messages").and_then(Value::as_array);
        let parts = |kind: &str| {
            let contents = messages.into_iter().flatten().filter_map(|message| message.get("content")?.as_array());
            contents.flatten().any(|part| part.get("type").and_then(Value::as_str) == Some(kind))
        };
        let speaks =
            object.get("modalities").and_then(Value::as_array).is_some_and(|list| list.contains(&"audio".into()));
        Ok(Self {
            images: parts("image_url"),
            audio: parts("input_audio") || speaks,
            tools: filled("tools") || filled("functions"),
            custom: object.get("tools").and_then(Value::as_array).is_some_and(|tools| tools.iter().any(is_custom)),
        })
    }
}

/// `OpenAI`'s form; `Anthropic` calls every tool of the caller's custom, and has its fields beside the type.
fn is_custom(tool: &Value) -> bool {
    tool.get("type").is_some_and(|kind| kind == "custom") && tool.get("custom").is_some_and(Value::is_object)
}

/// Refuses what the model at `endpoint` is known not to have; what nobody knows is assumed to be there.
///
/// # Errors
/// [`Kind::Unsupported`], which names the model and what it lacks: another endpoint may have it.
pub fn check(endpoint: &Endpoint, request: &ChatRequest) -> Result<()> {
    let marks = Marks::of(request.bytes());
    if !marks.any(Marks::IMAGES | Marks::AUDIO | Marks::TOOLS) {
        return Ok(());
    }
    let facts = facts(endpoint);
    let lacks = |known: fn(&Facts) -> Option<bool>| facts.and_then(known) == Some(false);
    // Sonar searches by itself and takes no tools of the caller's.
    let no_tools = endpoint.provider == "perplexity" && endpoint.model.starts_with("sonar");
    let (images, audio) = (lacks(|facts| facts.images), lacks(|facts| facts.audio));
    let tools = no_tools || lacks(|facts| facts.tools);
    let custom = !CUSTOM.contains(&endpoint.provider);
    let may_lack = images && marks.any(Marks::IMAGES)
        || audio && marks.any(Marks::AUDIO)
        || tools && marks.any(Marks::TOOLS)
        || custom && marks.any(Marks::TOOLS) && marks.any(Marks::CUSTOM);
    if !may_lack {
        // Nothing is parsed for a model that has it all; an image may be megabytes.
        return Ok(());
    }
    let needs = Needs::of(request)?;
    let missing = [
        (images && needs.images, "images", "an image"),
        (audio && needs.audio, "audio", "audio"),
        (tools && needs.tools, "tools", "tools"),
        (custom && needs.custom, "custom tools", "a tool of type `custom`"),
    ];
    match missing.into_iter().find(|(missing, ..)| *missing) {
        None => Ok(()),
        Some((_, ability, found)) => Err(Error::new(
            Kind::Unsupported,
            format!(
                "model `{}` takes no {ability}, and the request holds {found}: choose a model that does",
                endpoint.name
            ),
        )),
    }
}

/// What the price data tell of the model: of the one behind a name that says nothing, else of the name.
pub(super) fn facts(endpoint: &Endpoint) -> Option<&'static Facts> {
    let table = Table::shared();
    let base = endpoint.base_model.as_deref().and_then(|name| table.facts(name));
    base.or_else(|| table.facts(&endpoint.name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::providers::{Asked, resolve};

    fn checked(model: &str, body: &str) -> Result<()> {
        let asked = Asked { api_base: Some("http://h:1".into()), ..Asked::default() };
        let endpoint = resolve(model, &asked, &|_| None).unwrap();
        check(&endpoint, &ChatRequest::new(body.to_owned()))
    }

    const IMAGE: &str =
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]}"#;
    const SOUND: &str = r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]}"#;
    const TOOLS: &str = r#"{"tools":[{"type":"function","function":{"name":"f"}}]}"#;

    #[test]
    fn what_a_model_is_known_to_lack_is_told() {
        let error = checked("openai/gpt-4-1106-preview", IMAGE).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.message().contains("`openai/gpt-4-1106-preview` takes no images"), "{error}");
        assert!(checked("anthropic/claude-haiku-4-5", SOUND).is_err());
        assert!(checked("perplexity/sonar", TOOLS).is_err());
    }

    #[test]
    fn custom_tools_are_known_to_openai_alone() {
        let custom =
            r#"{"tools":[{"type":"function","function":{"name":"f"}},{"type":"custom","custom":{"name":"g"}}]}"#;
        for model in ["openai/gpt-5", "azure/mine", "custom_openai/mine"] {
            assert!(checked(model, custom).is_ok(), "{model}");
        }
        for model in ["anthropic/claude-haiku-4-5", "gemini/gemini-2.5-flash", "groq/x", "mistral/x", "ollama/x"] {
            let error = checked(model, custom).unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported, "{model}");
            assert!(error.message().contains(&format!("`{model}` takes no custom tools")), "{error}");
            assert!(checked(model, r#"{"tools":[{"type":"custom","name":"g"}]}"#).is_ok(), "{model}");
        }
    }

    #[test]
    fn what_it_has_and_what_nobody_knows_is_let_through() {
        for model in ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5", "gemini/gemini-2.5-flash", "hosted_vllm/mine"]
        {
            assert!(checked(model, IMAGE).is_ok() && checked(model, TOOLS).is_ok(), "{model}");
        }
        assert!(checked("hosted_vllm/mine", SOUND).is_ok());
        // A word in a text or in a tool is no image.
        let schema =
            r#"{"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"image_url":{}}}}}]}"#;
        assert!(checked("openai/gpt-4-1106-preview", schema).is_ok());
        assert!(checked("perplexity/sonar", r#"{"tools":[],"messages":[]}"#).is_ok());
    }
}
