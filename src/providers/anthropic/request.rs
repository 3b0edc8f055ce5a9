//! From a request in `OpenAI`'s shape to one of the Messages protocol.

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::messages;
use super::models::{Rules, Thinking};
use super::thoughts::{self, Barred};
use super::tools;
use crate::error::{Error, Kind, Result};
use crate::providers::conversation::{Conversation, Effort, Parameters};
use crate::providers::numbers;
use crate::providers::prefix::secret_value;
use crate::providers::request::{ChatRequest, Dropped, Prepared, Reading};
use crate::providers::types::{Endpoint, Outgoing};

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The newest version: knows no sampling.
const NEWEST: &str = "2026-10-21";
/// The one that still takes sampling parameters.
const WITH_SAMPLING: &str = "2023-06-01";
/// The longest answer when nobody says how long it may be and the model's own limit is not known.
const USUAL_LENGTH: u64 = 4096;
const NONE: &str = "Anthropic has no such parameter";
/// Anthropic's own parameters that the caller may give beside `OpenAI`'s.
const NATIVE: [&str; 6] = ["speed", "container", "inference_geo", "cache_control", "context_management", "mcp_servers"];

/// The request for one chat completion.
pub(super) fn chat(endpoint: &Endpoint, request: &ChatRequest, stream: bool) -> Result<Prepared> {
    let object = request.object()?;
    let conversation = Conversation::read(object)?;
    let asked = Parameters::read(object)?;
    let rules = Rules::of(endpoint);
    let mut dropped = Vec::new();

    let tools = tools::write(&asked, &conversation, rules, &mut dropped)?;
    let mut written = messages::write(&conversation, rules, &endpoint.model)?;
    let other = |name: &str| asked.others.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let native = other("thinking").and_then(Value::as_object);
    let barred = match () {
        () if tools.forced => Some(Barred::Forced),
        () if written.lost_thoughts => Some(Barred::Lost),
        () => None,
    };
    let given_config = other("output_config").and_then(Value::as_object);
    let config_effort = given_config.and_then(|config| Effort::named(config.get("effort")?.as_str()?));
    let effort = asked.effort.or(config_effort);
    let unknown = match rules.thinking {
        Thinking::Budget if effort.is_some() || native.is_some() => USUAL_LENGTH + thoughts::allowance(effort),
        _ => USUAL_LENGTH,
    };
    let room = length(asked.max_tokens, super::longest_answer(endpoint), unknown, asked.length_parameter, &mut dropped);
    let thinking = thoughts::ask(rules, effort, native, barred, room, &mut dropped);

    let mut body = Map::new();
    body.insert("model".to_owned(), endpoint.model.as_str().into());
    body.insert("max_tokens".to_owned(), room.into());
    if let Some(system) = messages::system(&conversation.system, tools.instruction.as_deref()) {
        body.insert("system".to_owned(), system);
    }
    if written.ends_with_assistant {
        let prefill = rules.prefill && !thinking.on && tools.format.is_none() && tools.schema_tool.is_none();
        messages::close(&mut written.messages, prefill);
    }
    body.insert("messages".to_owned(), Value::Array(written.messages));
    if !tools.tools.is_empty() {
        body.insert("tools".to_owned(), Value::Array(tools.tools));
    }
    if let Some(choice) = tools.choice {
        body.insert("tool_choice".to_owned(), choice);
    }
    let mut config = Map::new();
    if let Some(effort) = thinking.effort {
        config.insert("effort".to_owned(), effort.into());
    }
    if let Some(format) = tools.format.or_else(|| given_config.and_then(|config| config.get("format").cloned())) {
        config.insert("format".to_owned(), format);
    }
    if !config.is_empty() {
        body.insert("output_config".to_owned(), Value::Object(config));
    }
    if let Some(thinking) = thinking.thinking {
        body.insert("thinking".to_owned(), thinking);
    }
    stop(&asked, &mut body, &mut dropped);
    let chosen = endpoint.headers.get(&VERSION).and_then(|value| value.to_str().ok());
    let chosen = chosen.or(endpoint.api_version.as_deref());
    let sampled = sampling(&asked, rules, thinking.on, chosen, &mut body, &mut dropped);
    rest(&asked, &mut body, &mut dropped)?;
    if stream {
        body.insert("stream".to_owned(), true.into());
    }
    let version = chosen.unwrap_or(if sampled { WITH_SAMPLING } else { NEWEST });
    let reading = Reading {
        usage_asked: asked.include_usage,
        schema_tool: tools.schema_tool,
        legacy_functions: asked.legacy,
        ..Reading::default()
    };
    Ok(Prepared {
        outgoing: Outgoing {
            url: endpoint.url(&super::chat_path(endpoint)),
            headers: headers(endpoint, version, stream)?,
            body: Bytes::from(numbers::write(&Value::Object(body))),
        },
        reading,
        dropped,
        times: asked.n,
    })
}

fn headers(endpoint: &Endpoint, version: &str, stream: bool) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(5 + endpoint.headers.len());
    headers.insert(ACCEPT, HeaderValue::from_static(if stream { "text/event-stream" } else { "application/json" }));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let version = HeaderValue::try_from(version);
    let wrong = |_| Error::value("`api_version` of Anthropic must be a date such as 2026-10-21");
    headers.insert(VERSION, version.map_err(wrong)?);
    if let Some(key) = &endpoint.key {
        let key = key.expose_secret();
        // Tokens of a signed-in user are taken in the general header only.
        if key.starts_with("sk-ant-oat") {
            headers.insert(reqwest::header::AUTHORIZATION, secret_value(&format!("Bearer {key}"))?);
        } else {
            headers.insert(HeaderName::from_static("x-api-key"), secret_value(key)?);
        }
    }
    headers.extend(endpoint.headers.clone());
    Ok(headers)
}

/// The longest answer: what the caller allows in the parameter called `named`, at most what the model can; all it can
/// where he says nothing, and `unknown` where nobody knows how much that is.
fn length(given: Option<u64>, limit: Option<u64>, unknown: u64, named: &str, dropped: &mut Vec<Dropped>) -> u64 {
    match (given, limit) {
        (Some(given), Some(limit)) if given > limit => {
            dropped.push(Dropped {
                parameter: named.to_owned(),
                why: format!("lowered from {given} to {limit}, the longest answer of this model"),
            });
            limit
        }
        (given, limit) => given.or(limit).unwrap_or(unknown),
    }
}

fn stop(asked: &Parameters<'_>, body: &mut Map<String, Value>, dropped: &mut Vec<Dropped>) {
    let kept: Vec<_> = asked.stop.iter().filter(|stop| !stop.trim().is_empty()).copied().collect();
    if kept.len() < asked.stop.len() {
        dropped.push(Dropped {
            parameter: "stop".to_owned(),
            why: "Anthropic takes no stop sequence of white space only; such ones were left out".to_owned(),
        });
    }
    if !kept.is_empty() {
        body.insert("stop_sequences".to_owned(), kept.into());
    }
}

/// Adds the sampling parameters the model takes; returns whether there are any, which the newest version refuses.
fn sampling(
    asked: &Parameters<'_>,
    rules: Rules,
    thinks: bool,
    chosen: Option<&str>,
    body: &mut Map<String, Value>,
    dropped: &mut Vec<Dropped>,
) -> bool {
    let top_k = asked.others.iter().find(|(name, _)| *name == "top_k").map(|(_, value)| *value);
    let given = [
        ("temperature", asked.temperature.map(clamped)),
        ("top_p", asked.top_p.map(clamped)),
        ("top_k", top_k.cloned()),
    ];
    let mut sampled = false;
    for (name, value) in given {
        let Some(value) = value else { continue };
        let why = if !rules.sampling {
            "this model takes no sampling parameters"
        } else if chosen.is_some_and(|version| version != WITH_SAMPLING) {
            "the chosen API version takes no sampling parameters"
        } else if thinks {
            "this model takes no sampling parameters while it thinks"
        } else if name == "top_p" && rules.one_sampler && asked.temperature.is_some() {
            "this model takes temperature or top_p, not both"
        } else {
            if asked.temperature.is_some_and(|given| name == "temperature" && given > 1.0) {
                let why = "Anthropic's temperature goes up to 1, which is sent";
                dropped.push(Dropped { parameter: name.to_owned(), why: why.to_owned() });
            }
            body.insert(name.to_owned(), value);
            sampled = true;
            continue;
        };
        dropped.push(Dropped { parameter: name.to_owned(), why: why.to_owned() });
    }
    sampled
}

fn clamped(value: f64) -> Value {
    json!(value.clamp(0.0, 1.0))
}

/// Everything else: passed on by name, or reported.
fn rest(asked: &Parameters<'_>, body: &mut Map<String, Value>, dropped: &mut Vec<Dropped>) -> Result<()> {
    let mut drop = |parameter: &str, why: &str| {
        dropped.push(Dropped { parameter: parameter.to_owned(), why: why.to_owned() });
    };
    for (name, given) in [
        ("seed", asked.seed.is_some()),
        ("presence_penalty", asked.presence_penalty.is_some_and(|penalty| penalty != 0.0)),
        ("frequency_penalty", asked.frequency_penalty.is_some_and(|penalty| penalty != 0.0)),
        ("logprobs", asked.logprobs),
        ("top_logprobs", asked.top_logprobs.is_some_and(|count| count > 0)),
    ] {
        if given {
            drop(name, NONE);
        }
    }
    match asked.service_tier {
        None => {}
        Some("auto") => {
            body.insert("service_tier".to_owned(), "auto".into());
        }
        Some("default" | "standard_only") => {
            body.insert("service_tier".to_owned(), "standard_only".into());
        }
        Some(_) => drop("service_tier", "Anthropic knows the tiers auto and default"),
    }
    let mut user = asked.user.map(str::to_owned);
    for (name, value) in &asked.others {
        match *name {
            "thinking" | "output_config" if value.is_object() => {}
            "top_k" => {}
            "metadata" => {
                let own = value.get("user_id").and_then(Value::as_str);
                user = user.or_else(|| own.map(str::to_owned));
                if value.as_object().is_none_or(|fields| fields.len() > usize::from(own.is_some())) {
                    drop(name, "Anthropic keeps `user_id` only");
                }
            }
            "modalities" => {
                if value.as_array().is_none_or(|list| list.iter().any(|one| one != "text")) {
                    return Err(Error::new(
                        Kind::Unsupported,
                        "Anthropic's models answer in text, not in `modalities` of other kinds",
                    ));
                }
            }
            // Off, which is what happens anyway.
            "store" if **value == false => {}
            name if NATIVE.contains(&name) => {
                body.insert(name.to_owned(), (*value).clone());
            }
            "reasoning_effort" => drop("reasoning_effort", "not an effort that is known here"),
            name => drop(name, NONE),
        }
    }
    if let Some(user) = user {
        body.insert("metadata".to_owned(), json!({"user_id": user}));
    }
    Ok(())
}
