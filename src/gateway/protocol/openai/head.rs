//! The one pass over a request's body: everything is checked to be JSON, a few fields are read.

use std::collections::HashSet;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::gateway::protocol::extras;
use crate::gateway::protocol::failing::{bad, not_json};
use crate::providers::Text;

/// What is read.
#[derive(Debug, Default)]
pub(super) struct Head<'a> {
    pub model: Text<'a>,
    pub messages: Messages,
    pub stream: Value,
    pub ferroute: Value,
    /// There is an object `ferroute`, be it null.
    pub extras: bool,
    /// There is a field that is null.
    pub nulls: bool,
    /// A field that is there twice: readers differ in which they take, and ours must not be another than the provider's.
    twice: Option<String>,
}

impl<'a> Head<'a> {
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) when it is not one JSON object in UTF-8. The message holds nothing of it.
    pub fn read(body: &'a [u8]) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|error| {
            Error::value(format!("the request body must be UTF-8; it is not at byte {}", error.valid_up_to()))
        })?;
        let head: Self = serde_json::from_str(text).map_err(|error| not_json(&error))?;
        match head.twice {
            None => Ok(head),
            Some(name) => {
                let name: String = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
                Err(bad(&name, format!("`{name}` must be in the request body once, found twice")))
            }
        }
    }
}

/// What `messages` is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Messages {
    #[default]
    NoList,
    /// A list of so many, of which this one is no message.
    List { count: usize, odd: Option<usize> },
}

impl Messages {
    /// Refuses all but a list with a message in it.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::List { odd: Some(odd), .. } => Err(bad(
                format!("messages[{odd}]"),
                format!("`messages[{odd}]` must be an object with `role`, a string"),
            )),
            Self::List { count: 1.., .. } => Ok(()),
            _ => Err(bad("messages", "`messages` must be a list with at least one message")),
        }
    }
}

/// What any value is taken for that is not looked into.
macro_rules! scalars {
    ($as:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($as)
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($as)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($as)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($as)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($as)
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($as)
        }
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for Head<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Body;
        impl<'de> Visitor<'de> for Body {
            type Value = Head<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head<'de>, A::Error> {
                let mut head = Head::default();
                let mut names = HashSet::with_capacity(16);
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "model" => head.model = map.next_value()?,
                        "messages" => head.messages = map.next_value()?,
                        "stream" => {
                            head.stream = map.next_value()?;
                            head.nulls |= head.stream.is_null();
                        }
                        extras::NAME => {
                            head.ferroute = map.next_value()?;
                            head.extras = true;
                        }
                        _ => head.nulls |= map.next_value::<Option<IgnoredAny>>()?.is_none(),
                    }
                    if let Some(name) = names.replace(name) {
                        head.twice.get_or_insert(name);
                    }
                }
                Ok(head)
            }
        }
        deserializer.deserialize_map(Body)
    }
}

impl<'de> Deserialize<'de> for Messages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Messages;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            scalars!(Messages::NoList);

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Messages, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Messages::NoList)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Messages, A::Error> {
                let (mut count, mut odd) = (0, None);
                while let Some(Message(fits)) = seq.next_element()? {
                    if !fits {
                        odd.get_or_insert(count);
                    }
                    count += 1;
                }
                Ok(Messages::List { count, odd })
            }
        }
        deserializer.deserialize_any(List)
    }
}

/// Whether it is an object with a role.
struct Message(bool);

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Message;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message")
            }

            scalars!(Message(false));

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Message, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Message(false))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message, A::Error> {
                let mut fits = false;
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    if name.get() == Some("role") {
                        fits = map.next_value::<Text<'de>>()?.get().is_some();
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Message(fits))
            }
        }
        deserializer.deserialize_any(One)
    }
}
