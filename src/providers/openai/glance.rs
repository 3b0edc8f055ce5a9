//! What we need to know of an answer or an event; everything else passes by unread.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::usage::{Mended, RawUsage};
use crate::pricing::ServiceTier;
use crate::providers::request::Reading;
use crate::providers::types::Usage;

/// The other dialects' answers are read whole, by a parser with this limit.
pub(super) const DEEPEST: usize = 127;

/// An answer or an event, read as far as needed.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Glance<'a> {
    id: Text<'a>,
    error: Option<Value>,
    object: Text<'a>,
    message: Text<'a>,
    pub choices: Option<Vec<Choice<'a>>>,
    usage: Option<RawUsage>,
    x_groq: Option<Groq>,
    service_tier: Text<'a>,
}

/// Groq puts the usage of a stream here.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Groq {
    usage: Option<RawUsage>,
    error: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Choice<'a> {
    pub index: Option<u64>,
    pub finish_reason: Text<'a>,
    delta: Option<Delta<'a>>,
    /// Of a complete answer. Perplexity has it in chunks too, with everything said so far.
    message: Option<Delta<'a>>,
    /// `OpenRouter` tells the error of one choice here.
    error: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Delta<'a> {
    pub content: Text<'a>,
    reasoning_content: Text<'a>,
    reasoning: Text<'a>,
    refusal: Text<'a>,
    pub tool_calls: Option<Vec<Call<'a>>>,
    function_call: Option<Function<'a>>,
    audio: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Call<'a> {
    index: Option<u64>,
    function: Option<Function<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Function<'a> {
    name: Text<'a>,
    arguments: Text<'a>,
}

impl<'a> Glance<'a> {
    /// `None` when `body` is not a JSON object, or one nested deeper than [`DEEPEST`]; one of an unexpected shape says
    /// nothing, which is not an error.
    pub fn at(body: &'a [u8]) -> Option<Self> {
        // serde would read a list as the fields in their order.
        if body.trim_ascii_start().first() != Some(&b'{') || is_too_deep(body) {
            return None;
        }
        if let Ok(glance) = serde_json::from_slice(body) {
            return Some(glance);
        }
        let value: Value = serde_json::from_slice(body).ok()?;
        let part = |name: &str| value.get(name).filter(|part| !part.is_null()).cloned();
        let choices = part("choices").and_then(|choices| match choices {
            Value::Array(choices) => Some(choices.into_iter().map(one).collect()),
            _ => None,
        });
        Some(Self {
            id: Text::of(value.get("id")),
            error: part("error"),
            choices,
            usage: part("usage").and_then(RawUsage::of),
            service_tier: Text::of(value.get("service_tier")),
            ..Self::default()
        })
    }

    /// The id of the answer; an empty one says nothing.
    pub fn id(&self) -> Option<&str> {
        self.id.get().filter(|id| !id.is_empty())
    }

    /// The usage, with what is told beside it.
    pub fn usage(&self, provider: &str) -> Option<Usage> {
        let groq = || self.x_groq.as_ref()?.usage.as_ref()?.read(provider);
        let mut usage = self.usage.as_ref().and_then(|usage| usage.read(provider)).or_else(groq)?;
        usage.tier = self.service_tier.get().and_then(ServiceTier::named).unwrap_or_default();
        Some(usage)
    }

    /// Counts that are not where `OpenAI` puts them.
    pub fn odd_usage(&self, provider: &str) -> Option<Mended> {
        self.usage.as_ref()?.odd(provider)
    }

    /// The error told in place of an answer, or of one choice.
    pub fn failure(&self) -> Option<Value> {
        let choices = self.choices.as_deref().unwrap_or_default();
        let says = |error: &&Value| !error.is_null();
        if let Some(error) = self.error.as_ref().filter(says)
            && choices.iter().all(|choice| choice.said().is_none_or(|delta| !delta.speaks()))
        {
            return Some(error.clone());
        }
        if self.object.get() == Some("error") && choices.is_empty() {
            return Some(Value::from(self.message.get().unwrap_or_default()));
        }
        choices.iter().find_map(|choice| choice.error.as_ref().filter(says)).cloned()
    }

    /// The error of an event, whatever else is in it.
    pub fn broken_off(&self) -> Option<Value> {
        let groq = self.x_groq.as_ref().and_then(|groq| groq.error.as_ref());
        self.error.as_ref().or(groq).filter(|error| !error.is_null()).cloned().or_else(|| self.failure())
    }

    /// Whether there is an answer: a choice that says something, or at least why it says nothing.
    pub fn answers(&self) -> bool {
        self.choices.iter().flatten().any(|choice| choice.said().is_some() || choice.ends())
    }

    /// Whether a call comes without the index by which its pieces are joined.
    pub fn is_numberless(&self) -> bool {
        let deltas = self.choices.iter().flatten().filter_map(|choice| choice.said());
        deltas.flat_map(|delta| delta.tool_calls.iter().flatten()).any(|call| call.index.is_none())
    }

    /// Whether it is not quite in `OpenAI`'s shape, or has to be brought into an older one.
    pub fn is_odd(&self, reading: &Reading) -> bool {
        let choices = self.choices.as_deref().unwrap_or_default();
        choices.iter().any(|choice| choice.is_odd(reading))
    }
}

/// Whether JSON nests deeper than [`DEEPEST`]. What is passed by unread has no limit of its own, and whoever reads it
/// after us may.
fn is_too_deep(json: &[u8]) -> bool {
    let opens = |byte: &&u8| matches!(byte, b'{' | b'[');
    // Most answers have fewer in all.
    if json.iter().filter(opens).count() <= DEEPEST {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > DEEPEST {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// As much of a choice of unexpected shape as can be understood.
fn one(choice: Value) -> Choice<'static> {
    let index = choice.get("index").and_then(Value::as_u64);
    let finish_reason = Text::of(choice.get("finish_reason"));
    let said = choice.get("delta").or_else(|| choice.get("message")).cloned();
    let error = choice.get("error").cloned();
    Choice::deserialize(choice).unwrap_or_else(|_| Choice {
        index,
        finish_reason,
        delta: said.map(|said| {
            let texts = ["content", "reasoning_content", "reasoning", "refusal"].map(|name| Text::of(said.get(name)));
            Delta::deserialize(said).unwrap_or_else(|_| {
                let [content, reasoning_content, reasoning, refusal] = texts;
                Delta { content, reasoning_content, reasoning, refusal, ..Delta::default() }
            })
        }),
        message: None,
        error,
    })
}

impl<'a> Choice<'a> {
    /// What it says.
    pub fn said(&self) -> Option<&Delta<'a>> {
        self.delta.as_ref().or(self.message.as_ref())
    }

    /// Whether it says why it ended; an empty word says nothing.
    pub fn ends(&self) -> bool {
        self.finish_reason.get().is_some_and(|reason| !reason.is_empty())
    }

    fn is_odd(&self, reading: &Reading) -> bool {
        let delta = self.said();
        self.finish_reason.get().is_some_and(|reason| super::mend::reason(reason).is_some())
            || delta.is_some_and(|delta| matches!(delta.content.0, Said::Parts))
            || reading.legacy_functions
                && (self.finish_reason.get() == Some("tool_calls")
                    || delta.is_some_and(|delta| delta.tool_calls.is_some()))
    }
}

impl Delta<'_> {
    /// Whether it carries anything of the answer.
    pub fn speaks(&self) -> bool {
        self.chars() > 0
            || matches!(self.content.0, Said::Parts)
            || self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
            || self.function_call.is_some()
            || self.audio.is_some()
    }

    /// Characters made.
    pub fn chars(&self) -> usize {
        let said = [&self.content, &self.reasoning_content, &self.reasoning, &self.refusal];
        let called =
            self.tool_calls.iter().flatten().filter_map(|call| call.function.as_ref()).chain(&self.function_call);
        said.into_iter().map(Text::chars).sum::<usize>()
            + called.map(|function| function.name.chars() + function.arguments.chars()).sum::<usize>()
    }
}

/// A text, where there is one; anything else is no error.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Text<'a>(Said<'a>);

#[derive(Debug, Default, PartialEq)]
enum Said<'a> {
    #[default]
    Nothing,
    Text(Cow<'a, str>),
    /// A list, of parts if it is content.
    Parts,
}

impl Text<'_> {
    fn of(value: Option<&Value>) -> Text<'static> {
        Text(match value {
            Some(Value::String(text)) => Said::Text(Cow::Owned(text.clone())),
            Some(Value::Array(_)) => Said::Parts,
            _ => Said::Nothing,
        })
    }

    /// Whether it is a list: of parts, if it is content.
    pub fn is_list(&self) -> bool {
        matches!(self.0, Said::Parts)
    }

    /// The text.
    pub fn get(&self) -> Option<&str> {
        match &self.0 {
            Said::Text(text) => Some(text),
            _ => None,
        }
    }

    fn chars(&self) -> usize {
        self.get().map_or(0, |text| text.chars().count())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Said::Text(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Said::Text(Cow::Owned(text.to_owned()))))
            }

            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }

            fn visit_i64<E>(self, _: i64) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }

            fn visit_u64<E>(self, _: u64) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(Said::Parts))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(Any)
    }
}
