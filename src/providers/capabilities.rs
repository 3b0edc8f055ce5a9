//! What a model takes, from its provider and name: sampling, length, roles, tools, effort.
//!
//! Of the rows of the table of providers each has its quirks here; what nobody has said is assumed to be taken.

use super::family::{Family, Plain};
use super::ids::Rule;
use super::{Dialect, Endpoint};

/// The name under which the longest answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// `max_tokens` alone.
    Old,
    /// `max_completion_tokens` alone.
    New,
    /// Either, but not both.
    Either,
}

/// How far a server goes with `response_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Json {
    /// Not at all: the wish is told in words.
    Words,
    /// `json_object`.
    Object,
    /// `json_schema` too.
    Schema,
}

/// The word for "some tool must be called".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Must {
    /// `required`.
    Required,
    /// `any`.
    Any,
    /// There is none: `auto` is sent.
    No,
}

/// What one model takes in `OpenAI`'s shape.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a row of a table, and they do not depend on each other")]
pub struct Capabilities {
    /// Generation of `OpenAI`'s models, by whose rules it goes.
    pub family: Family,
    /// The name of the length.
    pub length: Length,
    /// Takes the role `developer`.
    pub developer: bool,
    /// Parameters it refuses.
    pub refused: &'static [&'static str],
    /// The only top-level parameters it knows, where others are an error.
    pub known: Option<&'static [&'static str]>,
    /// The efforts it knows in rising order, none at all for one that does not reason; `None` is not known.
    pub efforts: Option<&'static [&'static str]>,
    /// Refuses tools together with an effort.
    pub tools_or_effort: bool,
    /// Gives several answers to one request.
    pub many: bool,
    /// Its name for `seed`.
    pub seed: &'static str,
    /// Its word for a call that must be.
    pub must: Must,
    /// Knows `allowed_tools` and custom tools.
    pub allowed_tools: bool,
    /// Knows `functions`, the form before `tools`.
    pub functions: bool,
    /// Its rule for ids of tool calls.
    pub ids: Option<Rule>,
    /// Knows `stream_options.include_usage`.
    pub stream_usage: bool,
    /// Answers in JSON.
    pub json: Json,
    /// The highest temperature.
    pub warmest: f64,
    /// Wants user and assistant to take turns, beginning and ending with the user.
    pub alternates: bool,
    /// Takes texts as strings only.
    pub plain_texts: bool,
    /// The classes of service it knows by name; empty where nobody says.
    pub tiers: &'static [&'static str],
    /// Fields of messages with reasoning that it takes back.
    pub reasoning: &'static [&'static str],
    /// Takes unknown fields in messages as an error.
    pub strict_messages: bool,
    /// Passes marks for caching on to models that know them.
    pub cache_marks: bool,
}

const PENALTIES: &[&str] = &["presence_penalty", "frequency_penalty", "logit_bias"];
/// Parameters of `OpenAI`'s own service that others do not know.
const OWN: &[&str] = &[
    "logprobs",
    "logit_bias",
    "top_logprobs",
    "store",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "verbosity",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
];
const MISTRAL: &[&str] = &[
    "model",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "stream",
    "stop",
    "random_seed",
    "response_format",
    "tools",
    "tool_choice",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "prediction",
    "parallel_tool_calls",
    "metadata",
];

/// What `endpoint` takes in `OpenAI`'s shape.
pub fn of(endpoint: &Endpoint) -> Capabilities {
    let name = endpoint.base_model.as_deref().unwrap_or(&endpoint.model);
    // These serve OpenAI's own models under their names, or stand in front of them.
    let openai =
        ["openai", "azure", "azure_ai", "litellm_proxy", "custom_openai", "github"].contains(&endpoint.provider);
    let family = if openai { Family::of(name) } else { Family::Unknown };
    let known = family != Family::Unknown;
    // An Azure deployment's name need not say which model it is, and OpenAI's next model may have any name.
    let own = endpoint.dialect == Dialect::Azure || endpoint.base.host_str() == Some("api.openai.com");
    let plain = Capabilities {
        family,
        length: match family {
            Family::O(_) | Family::Gpt(..) | Family::Plain(Plain::Chat) => Length::New,
            Family::Plain(_) => Length::Either,
            Family::Unknown if own => Length::Either,
            Family::Unknown => Length::Old,
        },
        developer: family.reasons() || own && !known,
        refused: match family {
            Family::O(_) => &["stop", "parallel_tool_calls"],
            Family::Gpt(..) => &["stop"],
            _ => &[],
        },
        known: None,
        efforts: family.efforts(),
        tools_or_effort: matches!(family, Family::Gpt(5, 6)),
        many: true,
        seed: "seed",
        must: Must::Required,
        allowed_tools: known || own,
        functions: openai,
        ids: (known || own).then_some(Rule::Forty),
        stream_usage: true,
        json: match family {
            Family::Plain(Plain::Text) => Json::Words,
            Family::Plain(Plain::Object) => Json::Object,
            _ => Json::Schema,
        },
        warmest: 2.0,
        alternates: false,
        plain_texts: false,
        tiers: &[],
        reasoning: if known || own { &[] } else { &["reasoning_content", "reasoning"] },
        strict_messages: false,
        cache_marks: false,
    };
    quirks(endpoint, name, plain)
}

/// The rows of the table.
fn quirks(endpoint: &Endpoint, name: &str, plain: Capabilities) -> Capabilities {
    match endpoint.provider {
        "azure" | "azure_ai" => Capabilities { stream_usage: azure_tells_usage(endpoint), ..plain },
        "groq" => Capabilities {
            tiers: &["auto", "on_demand", "flex", "performance"],
            refused: OWN,
            many: false,
            efforts: if name.contains("gpt-oss") {
                Some(&["low", "medium", "high"])
            } else if name.contains("qwen") {
                Some(&["none", "default"])
            } else {
                plain.efforts
            },
            reasoning: &[],
            strict_messages: true,
            ..plain
        },
        "cerebras" => Capabilities { refused: PENALTIES, reasoning: &[], strict_messages: true, ..plain },
        "mistral" | "codestral" => Capabilities {
            known: Some(MISTRAL),
            seed: "random_seed",
            must: Must::Any,
            ids: Some(Rule::Nine),
            stream_usage: false,
            reasoning: &[],
            strict_messages: true,
            ..plain
        },
        "deepseek" => Capabilities { many: false, plain_texts: true, reasoning: &["reasoning_content"], ..plain },
        "xai" => xai(name, plain),
        "openrouter" | "vercel_ai_gateway" => Capabilities {
            many: false,
            reasoning: &["reasoning_content", "reasoning", "reasoning_details"],
            cache_marks: true,
            ..plain
        },
        "perplexity" => Capabilities { many: false, stream_usage: false, alternates: true, reasoning: &[], ..plain },
        "moonshot" => Capabilities { must: Must::No, warmest: 1.0, reasoning: &["reasoning_content"], ..plain },
        "gemini" => Capabilities { reasoning: &["extra_content"], ..plain },
        "cohere" | "ollama" | "zai" | "minimax" | "sambanova" | "huggingface" => Capabilities { many: false, ..plain },
        "litellm_proxy" => Capabilities {
            reasoning: &["reasoning_content", "thinking_blocks", "extra_content"],
            cache_marks: true,
            ..plain
        },
        _ => plain,
    }
}

/// Those of xAI's models that reason refuse stop sequences and penalties; most of them choose their effort themselves.
fn xai(name: &str, plain: Capabilities) -> Capabilities {
    let older = ["grok-beta", "grok-1", "grok-2", "grok-3-fast"].iter().any(|start| name.starts_with(start));
    let reasons = !(older || name == "grok-3" || name.contains("non-reasoning"));
    let chooses = name.starts_with("grok-code") || name.starts_with("grok-4-") || name == "grok-4";
    let efforts: Option<&[&str]> = if !reasons || chooses {
        Some(&[])
    } else if name.starts_with("grok-3-mini") {
        Some(&["low", "high"])
    } else {
        Some(&["low", "medium", "high"])
    };
    Capabilities {
        refused: if reasons { &["stop", "presence_penalty", "frequency_penalty"] } else { &[] },
        efforts,
        ..plain
    }
}

/// Azure refuses `stream_options` in versions before September 2024.
fn azure_tells_usage(endpoint: &Endpoint) -> bool {
    let version =
        endpoint.base.query_pairs().find(|(name, _)| name == "api-version").map(|(_, value)| value.into_owned());
    version.is_none_or(|version| !version.starts_with("20") || version.as_str() >= "2024-09-01")
}
