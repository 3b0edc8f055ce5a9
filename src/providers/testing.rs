//! What the tests of this room share.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use crate::error::Answer;

/// A refusal for too many requests, with these headers.
pub(super) fn too_many(headers: &[(&str, &str)]) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Answer { status: 429, headers, body: Bytes::new() }
}

/// Any JSON, in which `words` stand in many places as keys and values.
pub(super) fn any_json(words: &'static [&'static str]) -> impl Strategy<Value = Value> + Clone {
    let word = prop::sample::select(words);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        word.clone().prop_map(Into::into),
        "\\PC{0,5}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((word.clone(), inner), 0..5).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        ]
    })
}
