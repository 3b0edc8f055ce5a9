//! The request for one completion.

use serde_json::{Map, Value, json};

use super::super::conversation::{Conversation, Effort, Format, Parameters, ToolChoice};
use super::super::numbers;
use super::super::request::{ChatRequest, Dropped, Prepared, Reading};
use super::super::types::{Endpoint, Outgoing};
use super::contents::{contents, text};
use super::model::Model;
use super::tools::{Tools, tools};
use super::{HOST, headers, url};
use crate::error::Result;
use crate::pricing::{ServiceTier, Table};

/// `Google` takes no more.
const MOST_STOPS: usize = 5;
const MOST_LOGPROBS: u64 = 20;

/// The request for one chat completion.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) for what is not in `OpenAI`'s shape, or cannot be said in `Google`'s.
pub fn chat(endpoint: &Endpoint, request: &ChatRequest, stream: bool) -> Result<Prepared> {
    let conversation = Conversation::of(request)?;
    let parameters = Parameters::read(request.object()?)?;
    let model = Model::of(&endpoint.model);
    let mut dropped = Vec::new();
    let tools = tools(&parameters, &mut dropped);
    let making = Making { endpoint, parameters: &parameters, model, extras: Extras::of(&parameters) };
    let (body, renamed) = making.body(&conversation, tools, &mut dropped)?;
    let mut url = url(endpoint, if stream { "streamGenerateContent" } else { "generateContent" });
    let headers = headers(endpoint, if stream { "text/event-stream" } else { "application/json" })?;
    if stream {
        url.query_pairs_mut().append_pair("alt", "sse");
    }
    Ok(Prepared {
        outgoing: Outgoing { url, headers, body: numbers::write(&Value::Object(body)).into() },
        reading: Reading {
            usage_asked: parameters.include_usage,
            legacy_functions: parameters.legacy,
            renamed,
            tier: match parameters.service_tier {
                Some("flex") => ServiceTier::Flex,
                Some("priority" | "fast") => ServiceTier::Priority,
                _ => ServiceTier::Standard,
            },
            ..Reading::default()
        },
        dropped,
        // `candidateCount` is 1 on most models: asking n times works everywhere.
        times: parameters.n,
    })
}

/// What `Google`'s own OpenAI-compatible endpoint takes under `extra_body.google`, here as well.
#[derive(Default)]
struct Extras<'a> {
    thinking: Option<&'a Map<String, Value>>,
    safety: Option<&'a Value>,
    cached: Option<&'a Value>,
    top_k: Option<&'a Value>,
}

impl<'a> Extras<'a> {
    fn of(parameters: &Parameters<'a>) -> Self {
        let mut extras = Self::default();
        for &(name, value) in &parameters.others {
            match name {
                "top_k" => extras.top_k = Some(value).filter(|value| value.is_number()),
                "google" => extras.google(value),
                "extra_body" => extras.google(value.get("google").unwrap_or(&Value::Null)),
                _ => {}
            }
        }
        extras
    }

    fn google(&mut self, google: &'a Value) {
        self.thinking = google.get("thinking_config").and_then(Value::as_object).or(self.thinking);
        self.safety = google.get("safety_settings").filter(|value| value.is_array()).or(self.safety);
        self.cached = google.get("cached_content").filter(|value| value.is_string()).or(self.cached);
    }
}

struct Making<'a, 'b> {
    endpoint: &'b Endpoint,
    parameters: &'b Parameters<'a>,
    model: Model,
    extras: Extras<'a>,
}

type Body = (Map<String, Value>, Vec<(String, String)>);

impl Making<'_, '_> {
    fn body(&self, conversation: &Conversation<'_>, tools: Tools, dropped: &mut Vec<Dropped>) -> Result<Body> {
        let Tools { mut declarations, mut config, renamed } = tools;
        let mut contents = contents(conversation, &self.model)?;
        let mut system: Vec<&str> = conversation.system.iter().map(|system| system.text).collect();
        let mut generation = self.sampling(dropped);
        let wants_json = !matches!(self.parameters.format, Format::Text);
        if wants_json && self.parameters.tool_choice == Some(ToolChoice::None) && !self.model.third {
            // They may not be called anyway.
            declarations.clear();
            config = None;
        }
        let asked_for = self.asked_for_json();
        if !wants_json || declarations.is_empty() || self.model.third {
            self.format(&mut generation);
        } else {
            system.push(&asked_for);
            dropped.push(Dropped {
                parameter: "response_format".into(),
                why: format!("{} cannot be held to JSON while it may call functions; it is asked for it in the instructions instead", self.endpoint.model),
            });
        }
        if let Some(thinking) = self.thinking(dropped) {
            generation.insert("thinkingConfig".into(), thinking);
        }
        let tier = self.tier(dropped);
        self.others(dropped);

        let mut body = Map::new();
        if !system.is_empty() {
            let system = text(&system.join("\n\n"));
            if self.model.instructions {
                body.insert("systemInstruction".into(), json!({"parts": [system]}));
            } else if let Some(parts) = contents.first_mut().and_then(|turn| turn["parts"].as_array_mut()) {
                parts.insert(0, system);
            }
        }
        body.insert("contents".into(), contents.into());
        if !declarations.is_empty() {
            body.insert("tools".into(), json!([{"functionDeclarations": declarations}]));
        }
        body.extend(config.map(|config| ("toolConfig".to_owned(), config)));
        if !generation.is_empty() {
            body.insert("generationConfig".into(), generation.into());
        }
        body.extend(self.extras.safety.map(|safety| ("safetySettings".to_owned(), safety.clone())));
        body.extend(self.extras.cached.map(|cached| ("cachedContent".to_owned(), cached.clone())));
        body.extend(tier.map(|tier| ("serviceTier".to_owned(), tier.into())));
        Ok((body, renamed))
    }

    /// What says how tokens are chosen, and how many.
    fn sampling(&self, dropped: &mut Vec<Dropped>) -> Map<String, Value> {
        let parameters = self.parameters;
        let mut made = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            made.extend(value.map(|value| (name.to_owned(), value)));
        };
        // More than the model can make is refused.
        let most = self.most_output().unwrap_or(i32::MAX as u64);
        put("maxOutputTokens", parameters.max_tokens.map(|tokens| tokens.min(most).into()));
        if let Some(given) = parameters.max_tokens.filter(|given| *given > most) {
            let why = format!("lowered from {given} to {most}, the longest answer of this model");
            drop(dropped, parameters.length_parameter, why);
        }
        put("temperature", parameters.temperature.map(Into::into));
        put("topP", parameters.top_p.map(Into::into));
        put("topK", self.extras.top_k.cloned());
        let stops: Vec<&str> = parameters.stop.iter().copied().filter(|stop| !stop.is_empty()).collect();
        if stops.len() > MOST_STOPS {
            drop(dropped, "stop", format!("Gemini takes {MOST_STOPS} stop sequences; the first {MOST_STOPS} are sent"));
        }
        let stops = stops.get(..MOST_STOPS).unwrap_or(&stops);
        put("stopSequences", (!stops.is_empty()).then(|| stops.into()));
        match parameters.seed {
            Some(_) if parameters.n > 1 => {
                drop(
                    dropped,
                    "seed",
                    "n answers are n calls to Gemini, and one seed would make them the same".to_owned(),
                );
            }
            seed => {
                // 32 bits there.
                let fits = seed.map(|seed| seed as i32);
                put("seed", fits.map(Into::into));
                if let Some(fits) = fits.filter(|fits| Some(i64::from(*fits)) != seed) {
                    drop(dropped, "seed", format!("Gemini's seeds have 32 bits; {fits} is sent"));
                }
            }
        }
        let refused = !self.model.penalties && self.endpoint.base.host_str() == Some(HOST);
        for (name, theirs, value) in [
            ("presence_penalty", "presencePenalty", parameters.presence_penalty),
            ("frequency_penalty", "frequencyPenalty", parameters.frequency_penalty),
        ] {
            match value {
                Some(value) if value != 0.0 && refused => {
                    drop(dropped, name, format!("Google has no penalties for {}", self.endpoint.model));
                }
                value => put(theirs, value.map(Into::into)),
            }
        }
        if parameters.logprobs {
            put("responseLogprobs", Some(true.into()));
            let top = parameters.top_logprobs.filter(|top| *top > 0);
            put("logprobs", top.map(|top| top.min(MOST_LOGPROBS).into()));
            if top.is_some_and(|top| top > MOST_LOGPROBS) {
                drop(dropped, "top_logprobs", format!("Gemini tells {MOST_LOGPROBS} at most"));
            }
        }
        made
    }

    fn most_output(&self) -> Option<u64> {
        let Endpoint { base_model, name, .. } = self.endpoint;
        let mut names = base_model.iter().chain([name]);
        names.find_map(|name| Table::shared().facts(name)).and_then(|facts| facts.max_output).filter(|most| *most > 0)
    }

    fn format(&self, generation: &mut Map<String, Value>) {
        let schema = match &self.parameters.format {
            Format::Text => return,
            Format::Object => None,
            Format::Schema(schema) => schema.schema,
        };
        generation.insert("responseMimeType".into(), "application/json".into());
        generation.extend(schema.map(|schema| ("responseJsonSchema".to_owned(), schema.clone().into())));
    }

    /// The format in words.
    fn asked_for_json(&self) -> String {
        let bare = "Unless you call a function, answer with one JSON object and nothing else, no Markdown.";
        match &self.parameters.format {
            Format::Schema(schema) => schema.schema.map_or_else(
                || bare.to_owned(),
                |schema| format!("{bare} It follows this JSON Schema: {}", Value::Object(schema.clone())),
            ),
            _ => bare.to_owned(),
        }
    }

    fn thinking(&self, dropped: &mut Vec<Dropped>) -> Option<Value> {
        let mut made = Map::new();
        let closely = ["thinking_budget", "thinkingBudget", "thinking_level", "thinkingLevel"];
        let said_closely = self.extras.thinking.is_some_and(|told| closely.iter().any(|name| told.contains_key(*name)));
        if let Some(effort) = self.parameters.effort {
            match self.model.thinking.level(effort) {
                Some(level) => {
                    if let Some(why) = level.changed.filter(|_| !said_closely) {
                        drop(dropped, "reasoning_effort", why.to_owned());
                    }
                    made.insert(level.field.into(), level.value);
                    if effort != Effort::None {
                        // Summaries cost nothing beside the thoughts, and come back as `reasoning_content`.
                        made.insert("includeThoughts".into(), true.into());
                    }
                }
                // No thinking is what such a model does anyway.
                None if effort == Effort::None => {}
                None => {
                    drop(dropped, "reasoning_effort", format!("{} cannot be told how to think", self.endpoint.model));
                }
            }
        }
        for (name, value) in self.extras.thinking.into_iter().flatten() {
            match name.as_str() {
                "include_thoughts" | "includeThoughts" => {
                    made.insert("includeThoughts".into(), value.clone());
                }
                "thinking_budget" | "thinkingBudget" => {
                    // One of the two; what was said more closely holds.
                    made.remove("thinkingLevel");
                    made.insert("thinkingBudget".into(), value.clone());
                }
                "thinking_level" | "thinkingLevel" => {
                    made.remove("thinkingBudget");
                    let level = value.as_str().map_or_else(|| value.clone(), |level| level.to_ascii_uppercase().into());
                    made.insert("thinkingLevel".into(), level);
                }
                _ => {}
            }
        }
        (!made.is_empty()).then(|| made.into())
    }

    fn tier(&self, dropped: &mut Vec<Dropped>) -> Option<&'static str> {
        match self.parameters.service_tier? {
            "auto" => None,
            "default" | "standard" => Some("standard"),
            "flex" => Some("flex"),
            "priority" | "fast" => Some("priority"),
            other => {
                let other: String = other.chars().take(40).collect();
                drop(dropped, "service_tier", format!("Gemini has no class of service `{other}`"));
                None
            }
        }
    }

    /// Reports what has no place.
    fn others(&self, dropped: &mut Vec<Dropped>) {
        if self.parameters.user.is_some() {
            drop(dropped, "user", "Gemini has no field for it".to_owned());
        }
        if self.parameters.parallel == Some(false) && !self.parameters.tools.is_empty() {
            drop(dropped, "parallel_tool_calls", "Gemini cannot be kept from calling several functions at once".into());
        }
        for (name, value) in &self.parameters.others {
            let passed = match *name {
                "google" => true,
                "extra_body" => value.get("google").is_some(),
                "top_k" => self.extras.top_k.is_some(),
                "store" => **value == false,
                "modalities" => **value == json!(["text"]),
                _ => false,
            };
            if !passed {
                drop(dropped, name, "Gemini has no such parameter".to_owned());
            }
        }
    }
}

fn drop(dropped: &mut Vec<Dropped>, parameter: &str, why: String) {
    dropped.push(Dropped { parameter: parameter.to_owned(), why });
}
