//! A request's body read into a [`View`] in one pass, without a tree of all of it: the gateway does so for every request, and
//! most of a body is text that is only passed on.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Role, Turn, View, asks, texts};
use crate::error::{Error, Result};

impl View {
    /// As [`of_body`](Self::of_body), from the body's bytes.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) where it is not one JSON object.
    pub fn of_bytes(body: &[u8]) -> Result<Self> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let view = json.deserialize_map(Body).and_then(|view| json.end().map(|()| view));
        view.map_err(|error| Error::value(format!("the request body must be one JSON object: {error}")))
    }
}

/// Members that are small and looked at from several sides.
const KEPT: [&str; 7] =
    ["tools", "functions", "response_format", "modalities", "max_completion_tokens", "max_tokens", "metadata"];

struct Body;

impl<'de> Visitor<'de> for Body {
    type Value = View;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<View, A::Error> {
        let (mut view, mut kept) = (View::default(), Map::new());
        while let Some(Name(name)) = map.next_key_seed(NameSeed)? {
            if name == "messages" {
                view.turns = map.next_value_seed(Messages)?;
            } else if KEPT.contains(&&*name) {
                kept.insert(name.into_owned(), map.next_value::<Value>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        view.asks = asks(&kept);
        view.metadata = kept.get("metadata").and_then(Value::as_object).map(texts).unwrap_or_default();
        Ok(view)
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'de>(Cow<'de, str>);
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Name<'de>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(name.into()))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(name.to_owned().into()))
    }
}

/// Implements a seed that reads any kind of value: a scalar of no interest is as if it were not there.
macro_rules! of_any {
    ($seed:ident -> $value:ty, $($scalar:tt)*) => {
        impl<'de> DeserializeSeed<'de> for $seed {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
                json.deserialize_any(self)
            }
        }

        impl<'de> Visitor<'de> for $seed {
            type Value = $value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Self::nothing())
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Self::nothing())
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Self::nothing())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Self::nothing())
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Self::nothing())
            }

            $($scalar)*
        }
    };
}

/// The list of messages; anything else is none.
struct Messages;

impl Messages {
    fn nothing() -> Vec<Turn> {
        Vec::new()
    }
}

of_any! { Messages -> Vec<Turn>,
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        passed_over(map).map(|()| Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut turns = Vec::new();
        while let Some(turn) = list.next_element_seed(Message)? {
            turns.push(turn);
        }
        Ok(turns)
    }
}

struct Message;

impl Message {
    fn nothing() -> Turn {
        Turn::new(Role::User, "")
    }
}

of_any! { Message -> Turn,
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Self::nothing())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::nothing())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut turn = Self::nothing();
        while let Some(Name(name)) = map.next_key_seed(NameSeed)? {
            match &*name {
                "role" => turn.role = map.next_value_seed(Text)?.map_or(Role::User, |role| Role::named(&role)),
                "content" => {
                    let content = map.next_value_seed(Content)?;
                    (turn.text, turn.images, turn.sounds) = (content.text, content.images, content.sounds);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(turn)
    }
}

/// A message's content: text, or a list of parts.
struct Content;

impl Content {
    fn nothing() -> Turn {
        Turn::new(Role::User, "")
    }
}

of_any! { Content -> Turn,
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Turn::new(Role::User, text))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        passed_over(map).map(|()| Content::nothing())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut whole = Self::nothing();
        while let Some(part) = list.next_element_seed(Part)? {
            whole.images += part.images;
            whole.sounds += part.sounds;
            if !part.text.is_empty() {
                if !whole.text.is_empty() {
                    whole.text.push('\n');
                }
                whole.text.push_str(&part.text);
            }
        }
        Ok(whole)
    }
}

/// One part of a content.
struct Part;

impl Part {
    fn nothing() -> Turn {
        Turn::new(Role::User, "")
    }
}

of_any! { Part -> Turn,
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Turn::new(Role::User, text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::nothing())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut part = Self::nothing();
        while let Some(Name(name)) = map.next_key_seed(NameSeed)? {
            match &*name {
                "type" => {
                    let kind = map.next_value_seed(Text)?;
                    part.images = u32::from(kind.as_deref() == Some("image_url"));
                    part.sounds = u32::from(kind.as_deref() == Some("input_audio"));
                }
                "text" => part.text = map.next_value_seed(Text)?.unwrap_or_default(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(part)
    }
}

/// A string; anything else is none.
struct Text;

impl Text {
    fn nothing() -> Option<String> {
        None
    }
}

of_any! { Text -> Option<String>,
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        passed_over(map).map(|()| None)
    }
}

fn passed_over<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn both(body: &Value) -> (View, View) {
        let bytes = body.to_string();
        (View::of_bytes(bytes.as_bytes()).unwrap(), View::of_body(body.as_object().unwrap()))
    }

    #[test]
    fn it_reads_what_the_tree_says() {
        let body = json!({
            "model": "router-local-0.5", "max_tokens": 7, "metadata": {"a": 1, "b": "x"}, "stream": true,
            "messages": [
                {"role": "system", "content": "be \"brief\"\n"},
                {"role": "user", "content": [{"type": "text", "text": "look"}, "and",
                    {"type": "image_url", "image_url": {"url": "data:x"}}, {"type": "input_audio", "input_audio": {}}]},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]},
                {"role": "tool", "content": "42"}, 5, "text", [], {"content": {"text": "no"}, "role": 5},
            ],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "response_format": {"type": "json_schema", "json_schema": {}}, "modalities": ["text", "audio"],
        });
        let (read, tree) = both(&body);
        assert_eq!(read, tree);
        assert_eq!((read.turns.len(), read.images(), read.audio(), read.asks.max_tokens), (8, 1, true, Some(7)));
    }

    #[test]
    fn of_a_name_that_comes_twice_the_last_counts() {
        let body =
            br#"{"messages": [{"content": "a"}], "messages": [{"content": "b", "content": "c"}], "max_tokens": 1,
            "max_tokens": 2}"#;
        let tree: Map<String, Value> = serde_json::from_slice(body).unwrap();
        assert_eq!(View::of_bytes(body).unwrap(), View::of_body(&tree));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["", "[]", "5", "{", "{} {}", "\"x\"", "{\"messages\": [}", "\u{feff}{}"] {
            let error = View::of_bytes(body.as_bytes()).unwrap_err();
            assert!(error.message().starts_with("the request body must be one JSON object: "), "{body}: {error}");
        }
        let deep = format!("{{\"x\": {}", "[".repeat(100_000));
        assert!(View::of_bytes(deep.as_bytes()).is_err());
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z\"\\\\\u{e9}\n]{0,6}".prop_map(Value::from),
            prop::sample::select(vec!["image_url", "input_audio", "text", "assistant", "system"]).prop_map(Value::from),
        ];
        let names =
            prop::sample::select(vec!["role", "content", "type", "text", "messages", "tools", "max_tokens", "x"]);
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((names.clone(), inner), 0..5)
                    .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_stands_where(messages in value(), content in value(), part in value(), tools in value()) {
            let body = json!({
                "messages": messages, "tools": tools, "functions": content, "response_format": part,
            });
            let (read, tree) = both(&body);
            prop_assert_eq!(read, tree);
            let body = json!({"messages": [messages, {"role": part, "content": content}, {"content": [part, content]}]});
            let (read, tree) = both(&body);
            prop_assert_eq!(read, tree);
        }
    }
}
