//! How a model is brought to answer in a word: without thinking, without chance, in a form it is held to.
//!
//! What is not known of a model is left unsaid, and it gets room to think.

use super::capabilities::{self, Json};
use super::family::Family;
use super::types::Terse;
use super::{Dialect, Endpoint, anthropic, gemini, needs};

/// Servers that hold any model to a schema.
const HOLD_ANY: [&str; 4] = ["hosted_vllm", "ollama", "lm_studio", "llamafile"];
/// Gateways that find the nearest effort a model knows.
const GATEWAYS: [&str; 2] = ["openrouter", "vercel_ai_gateway"];

impl Terse {
    /// For the model at `endpoint`.
    pub fn of(endpoint: &Endpoint) -> Self {
        match endpoint.dialect {
            Dialect::OpenAi | Dialect::Azure => openai(endpoint),
            Dialect::Anthropic => anthropic::terse(endpoint),
            Dialect::Gemini => gemini::terse(endpoint),
        }
    }
}

fn openai(endpoint: &Endpoint) -> Terse {
    let caps = capabilities::of(endpoint);
    let facts = needs::facts(endpoint);
    let reasoning = facts.and_then(|facts| facts.reasoning);
    let is_known = caps.family != Family::Unknown;
    let effort = match caps.efforts {
        // In rising order.
        Some(efforts) => efforts.first().copied(),
        None => (reasoning == Some(true) && GATEWAYS.contains(&endpoint.provider)).then_some("low"),
    };
    let thinks = effort != Some("none")
        && match caps.family {
            Family::O(_) | Family::Gpt(..) => true,
            Family::Plain(_) => false,
            Family::Unknown => reasoning != Some(false),
        };
    // A deployment's name need not say which model it is, and the next model may have any name.
    let may_reason =
        !is_known && (endpoint.dialect == Dialect::Azure || endpoint.base.host_str() == Some("api.openai.com"));
    let held = is_known || HOLD_ANY.contains(&endpoint.provider) || facts.and_then(|facts| facts.schema) == Some(true);
    Terse {
        effort,
        thinks,
        cold: !may_reason && (!caps.family.reasons() || effort == Some("none")),
        schema: caps.json == Json::Schema && held,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::providers::{Asked, resolve};

    fn of(model: &str) -> Terse {
        let asked =
            Asked { api_base: Some("http://h:1".into()), api_key: Some("k".to_owned().into()), ..Asked::default() };
        Terse::of(&resolve(model, &asked, &|_| None).unwrap())
    }

    #[test]
    fn each_family_is_asked_in_its_own_way() {
        let terse = |effort, thinks, cold, schema| Terse { effort, thinks, cold, schema };
        for (model, expected) in [
            ("openai/gpt-5-nano", terse(Some("minimal"), true, false, true)),
            ("openai/gpt-5.2", terse(Some("none"), false, true, true)),
            ("openai/o4-mini", terse(Some("low"), true, false, true)),
            ("openai/gpt-4o-mini", terse(None, false, true, true)),
            ("openai/gpt-4-turbo", terse(None, false, true, false)),
            ("openai/small", terse(None, true, true, false)),
            ("hosted_vllm/mine", terse(None, true, true, true)),
            ("ollama/qwen3:0.6b", terse(None, true, true, true)),
            ("anthropic/claude-haiku-4-5", terse(None, false, true, true)),
            ("anthropic/claude-3-5-haiku-20241022", terse(None, false, true, false)),
            ("anthropic/claude-opus-5", terse(Some("none"), false, false, true)),
            ("anthropic/claude-sonnet-5-5", terse(Some("low"), true, false, true)),
            ("gemini/gemini-2.5-flash", terse(Some("none"), false, true, true)),
            ("gemini/gemini-2.5-pro", terse(Some("none"), true, true, true)),
            ("gemini/gemini-3-flash-preview", terse(Some("minimal"), true, false, true)),
            ("gemini/gemini-2.0-flash", terse(None, false, true, true)),
            ("gemini/gemma-3-4b-it", terse(None, false, true, false)),
        ] {
            assert_eq!(of(model), expected, "{model}");
        }
    }
}
