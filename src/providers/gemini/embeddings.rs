//! Embeddings: `embedContent` for one text, `batchEmbedContents` for several.

use serde::{Deserialize, Serialize};

use super::super::types::{Answer, Embedded, Endpoint, Outgoing};
use super::{errors, headers, resource, url};
use crate::error::{Error, Result};

/// Texts that `Google` takes in one request.
pub const MOST_TEXTS: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    model: &'a str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<usize>,
}

#[derive(Serialize)]
struct Content<'a> {
    parts: [Part<'a>; 1],
}

#[derive(Serialize)]
struct Part<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct Batch<'a> {
    requests: Vec<Request<'a>>,
}

/// The request for the embeddings of `texts`.
pub fn embeddings(endpoint: &Endpoint, texts: &[&str], dimensions: Option<usize>) -> Result<Outgoing> {
    let model = resource(endpoint);
    let request = |text| Request {
        model: &model,
        content: Content { parts: [Part { text }] },
        output_dimensionality: dimensions,
    };
    let (method, body) = match texts {
        [text] => ("embedContent", serde_json::to_vec(&request(*text))),
        texts => {
            let requests = texts.iter().map(|text| request(*text)).collect();
            ("batchEmbedContents", serde_json::to_vec(&Batch { requests }))
        }
    };
    let body = body.map_err(|e| Error::value(format!("the embedding request: {e}")))?;
    Ok(Outgoing { url: url(endpoint, method), headers: headers(endpoint, "application/json")?, body: body.into() })
}

/// The `count` vectors of an embeddings answer, which are in the order of the request.
///
/// # Errors
/// [`Kind::Protocol`](crate::Kind::Protocol) when there are not exactly `count`, when their lengths differ, or a number
/// is not finite.
pub fn read_embeddings(endpoint: &Endpoint, answer: &Answer, count: usize) -> Result<Embedded> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        embedding: Option<Row>,
        embeddings: Option<Vec<Row>>,
        #[serde(default)]
        usage_metadata: serde_json::Value,
    }
    #[derive(Deserialize)]
    struct Row {
        // Read as f64, so that one beyond f32 is told as what it is.
        values: Vec<f64>,
    }
    let wrong = |what: String| errors::odd(endpoint, &format!("answered with {what}"));
    // serde would read a list as the fields in their order.
    let is_object = answer.body.trim_ascii_start().first() == Some(&b'{');
    let body = if is_object { serde_json::from_slice::<Body>(&answer.body).ok() } else { None };
    let rows = match body {
        Some(Body { embeddings: Some(rows), usage_metadata, .. }) => Some((rows, usage_metadata)),
        Some(Body { embedding: Some(row), usage_metadata, .. }) => Some((vec![row], usage_metadata)),
        _ => None,
    };
    let Some((rows, usage)) = rows else {
        // An error told under status 200 says more.
        if let Ok(body) = serde_json::from_slice(&answer.body)
            && let Some(error) = errors::told(&body)
        {
            return Err(errors::inside(endpoint, error, &answer.headers));
        }
        return Err(wrong("something that is not a list of embeddings".to_owned()));
    };
    if rows.len() != count {
        return Err(wrong(format!("{} embeddings for {count} texts", rows.len())));
    }
    let length = rows.first().map_or(0, |row| row.values.len());
    for (index, row) in rows.iter().enumerate() {
        if row.values.is_empty() || row.values.len() != length {
            let found = row.values.len();
            return Err(wrong(format!(
                "embeddings of different lengths: {length} numbers, and {found} at index {index}"
            )));
        }
        if row.values.iter().any(|&number| !(number as f32).is_finite()) {
            return Err(wrong(format!("an embedding with a number that is not finite, at index {index}")));
        }
    }
    let tokens = ["promptTokenCount", "totalTokenCount"].iter().find_map(|name| super::said::whole(usage.get(name)?));
    let rows = rows.into_iter().map(|row| row.values.into_iter().map(|number| number as f32).collect());
    Ok(Embedded { rows: rows.collect(), prompt_tokens: tokens })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{answer, endpoint};
    use super::*;
    use crate::Kind;

    fn sent(texts: &[&str], dimensions: Option<usize>) -> (String, Value) {
        let outgoing = embeddings(&endpoint("gemini-embedding-001"), texts, dimensions).unwrap();
        (outgoing.url.path().to_owned(), serde_json::from_slice(&outgoing.body).unwrap())
    }

    #[test]
    fn one_text_and_several() {
        let one = json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a"}]}});
        let model = "/v1beta/models/gemini-embedding-001";
        assert_eq!(sent(&["a"], None), (format!("{model}:embedContent"), one));
        let short = |text| {
            json!({
                "model": "models/gemini-embedding-001",
                "content": {"parts": [{"text": text}]},
                "outputDimensionality": 256,
            })
        };
        let many = json!({"requests": [short("a"), short("b")]});
        assert_eq!(sent(&["a", "b"], Some(256)), (format!("{model}:batchEmbedContents"), many));
    }

    #[test]
    fn answers_are_read_or_refused() {
        let read = |body: &str, count| read_embeddings(&endpoint("e"), &answer(body), count);
        assert_eq!(read(r#"{"embedding":{"values":[0.5,-1]},"x":1}"#, 1).unwrap().rows, [[0.5, -1.0]]);
        let two = read(r#"{"embeddings":[{"values":[1]},{"values":[2]}],"usageMetadata":{"promptTokenCount":7}}"#, 2);
        let two = two.unwrap();
        assert_eq!((two.rows, two.prompt_tokens), (vec![vec![1.0], vec![2.0]], Some(7)));
        for (body, says) in [
            (r#"{"embedding":{"values":[1]}}"#, "1 embeddings for 2 texts"),
            (r#"{"embeddings":[{"values":[1]},{"values":[1,2]}]}"#, "different lengths"),
            (r#"{"embeddings":[{"values":[]},{"values":[]}]}"#, "different lengths"),
            (r#"{"embeddings":[{"values":[1]},{"values":[1e39]}]}"#, "not finite"),
            (r#"{"embeddings":[{"values":["NaN"]},{}]}"#, "not a list of embeddings"),
            ("<html>", "not a list of embeddings"),
            ("[]", "not a list of embeddings"),
            ("[[1]]", "not a list of embeddings"),
        ] {
            let error = read(body, 2).unwrap_err();
            assert!(error.kind() == Kind::Protocol && error.message().contains(says), "{body}: {error:?}");
        }
        let error = read(r#"[{"error":{"code":429,"message":"slow"}}]"#, 1).unwrap_err();
        assert_eq!((error.kind(), error.answer().unwrap().status), (Kind::Status, 429));
    }
}
