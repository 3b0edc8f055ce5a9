//! Embeddings: the request, and vectors as numbers or as base64.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::answer::usage_of;
use super::headers::headers;
use crate::error::{Error, Kind, Result};
use crate::providers::secrets::Secrets;
use crate::providers::types::{Answer, Embedded, Endpoint, Outgoing};

/// Where they are asked for, below the base URL.
pub(in crate::providers) const EMBEDDINGS: &str = "embeddings";

/// The request for the embeddings of `texts`.
pub fn embeddings(endpoint: &Endpoint, texts: &[&str], dimensions: Option<usize>, base64: bool) -> Result<Outgoing> {
    #[derive(Serialize)]
    struct Body<'a> {
        model: &'a str,
        input: &'a [&'a str],
        #[serde(skip_serializing_if = "Option::is_none")]
        dimensions: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        output_dimension: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding_format: Option<&'a str>,
    }
    // It refuses fields that it does not know.
    let mistral = endpoint.provider == "mistral";
    let body = Body {
        model: &endpoint.model,
        input: texts,
        dimensions: dimensions.filter(|_| !mistral),
        output_dimension: dimensions.filter(|_| mistral),
        encoding_format: (base64 && !mistral).then_some("base64"),
    };
    let body = serde_json::to_vec(&body).map_err(|e| Error::value(format!("the embedding request: {e}")))?;
    Ok(Outgoing { url: endpoint.url(EMBEDDINGS), headers: headers(endpoint, "application/json")?, body: body.into() })
}

/// The vectors of an embeddings answer, in the order of the request.
///
/// # Errors
/// [`Kind::Protocol`] when there are not exactly `count`, when their lengths differ, or a number is not finite.
pub fn read_embeddings(endpoint: &Endpoint, answer: &Answer, count: usize) -> Result<Embedded> {
    #[derive(Deserialize)]
    struct Body {
        data: Vec<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        index: Option<usize>,
        embedding: Vector,
    }
    let wrong = |what: String| Error::new(Kind::Protocol, format!("{} answered with {what}", endpoint.host()));
    let body: Body = match serde_json::from_slice(&answer.body) {
        Ok(body) => body,
        Err(e) => {
            // An error told under status 200 says more than "no field `data`".
            usage_of(endpoint, answer)?;
            let why = Secrets::of(endpoint).hide_text(&e.to_string());
            return Err(wrong(format!("something that is not a list of embeddings: {why}")));
        }
    };
    if body.data.len() != count {
        return Err(wrong(format!("{} embeddings for {count} texts", body.data.len())));
    }
    let mut rows: Vec<Vec<f32>> = vec![Vec::new(); count];
    for (position, row) in body.data.into_iter().enumerate() {
        let index = row.index.unwrap_or(position);
        match rows.get_mut(index) {
            Some(slot) if slot.is_empty() => *slot = row.embedding.0,
            _ => return Err(wrong(format!("an embedding of index {index}, twice or outside the {count} texts"))),
        }
    }
    let length = rows.first().map_or(0, Vec::len);
    for (index, row) in rows.iter().enumerate() {
        if row.is_empty() || row.len() != length {
            return Err(wrong(format!(
                "embeddings of different lengths: {length} numbers, and {} at index {index}",
                row.len()
            )));
        }
        if row.iter().any(|number| !number.is_finite()) {
            return Err(wrong(format!("an embedding with a number that is not finite, at index {index}")));
        }
    }
    Ok(Embedded { rows, prompt_tokens: usage_of(endpoint, answer)?.map(|usage| usage.prompt_tokens) })
}

/// Numbers, or base64 of little-endian f32.
pub(super) struct Vector(pub Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Vector;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of numbers or base64 of little-endian float32")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vector, E> {
                base64_floats(text).map(Vector).ok_or_else(|| E::custom("invalid base64 of float32"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vector, A::Error> {
                // Without a capacity: there may be far more lists than were asked for.
                let mut numbers = Vec::new();
                // As f64, so that a number beyond f32 is found below and told as what it is.
                while let Some(number) = seq.next_element::<f64>()? {
                    numbers.push(number as f32);
                }
                Ok(Vector(numbers))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Standard base64 with or without padding, as little-endian f32; `None` when it is not that.
pub(super) fn base64_floats(text: &str) -> Option<Vec<f32>> {
    const DIGITS: [u8; 256] = {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut table = [u8::MAX; 256];
        let mut value = 0;
        while value < 64 {
            table[alphabet[value] as usize] = value as u8;
            value += 1;
        }
        table
    };
    let digits = text.as_bytes();
    let digits = digits.strip_suffix(b"==").or_else(|| digits.strip_suffix(b"=")).unwrap_or(digits);
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for &digit in group {
            let value = DIGITS[usize::from(digit)];
            if value == u8::MAX {
                return None;
            }
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - group.len()) + 8;
        bytes.extend_from_slice(&bits.to_be_bytes()[..group.len() * 3 / 4]);
    }
    let (floats, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| floats.iter().map(|float| f32::from_le_bytes(*float)).collect())
}
