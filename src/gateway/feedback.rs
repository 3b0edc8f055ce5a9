//! `/v1/feedback`: what somebody says of an answer, now or long after it.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::protocol::Protocol;
use super::protocol::openai::OpenAi;
use super::state::Gateway;
use super::told::Told;
use super::{admit, body, chat};
use crate::error::{Denied, Error, Kind, Result};
use crate::ledger::{DRAWN, Ledger, Score, Wanted};
use crate::policy::Scope;

/// Who says so, unless told otherwise.
const SOURCE: &str = "feedback";
/// The longest name of a source.
const LONGEST: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// The answer's id (`response.id`), or the number of a call.
    id: Value,
    score: Option<Value>,
    thumbs: Option<Value>,
    source: Option<String>,
}

pub(super) async fn feedback(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response<Body> {
    let work = async move {
        let mut told = Told::begin(&gateway, OpenAi.name(), "/v1/feedback", request.headers());
        match entered(&gateway, request, &mut told).await {
            Ok(body) => chat::whole(told, body),
            Err(error) => chat::failed(told, &OpenAi, &error),
        }
    };
    chat::guarded(&OpenAi, work).await
}

async fn entered(gateway: &Gateway, request: Request<Body>, told: &mut Told) -> Result<Bytes> {
    let setup = gateway.setup();
    let (head, sent) = request.into_parts();
    told.caller = admit::caller(&setup, &head.headers, Scope::Feedback)?;
    let from = Instant::now();
    let read = body::whole(&head.headers, sent, &setup.server).await;
    told.waited_since(from);
    let (wanted, score, source) = said(&read?)?;
    let Some(ledger) = setup.ledger() else {
        return Err(Error::denied(
            Denied { status: 404, code: "no_ledger", retry_after: None },
            "this server keeps no ledger, so there is no call to say something of",
        ));
    };
    let from = Instant::now();
    // The store may have to be asked, which takes its time.
    let work = move || enter(&ledger, &wanted, score, source);
    let done = tokio::task::spawn_blocking(work).await;
    told.waited_since(from);
    done.map_err(|_| Error::new(Kind::Io, "the score could not be entered"))??;
    Ok(Bytes::from_static(br#"{"status":"ok"}"#))
}

fn enter(ledger: &Ledger, wanted: &Wanted, score: f64, source: String) -> Result<()> {
    let call = ledger.find(wanted).map_err(|error| match error.kind() {
        Kind::Name => Error::denied(
            Denied { status: 404, code: "call_not_found", retry_after: None },
            "there is no call with this id in the ledger: it is the `id` of the answer, which is known a moment after its end",
        ),
        _ => Error::new(Kind::Io, "the ledger cannot be read at the moment"),
    })?;
    // With which probability it was picked is known where a shadow was drawn; else people pick by themselves.
    let probability = ledger.drawn(wanted).unwrap_or(None);
    let ts = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ts = i64::try_from(ts.as_micros()).unwrap_or(i64::MAX);
    ledger
        .score(Score { call, ts, source, score, probability, model: None })
        .map_err(|_| Error::new(Kind::Io, "the ledger takes no scores at the moment"))
}

/// The call that is meant, the score, and who gives it.
fn said(body: &[u8]) -> Result<(Wanted, f64, String)> {
    let wanted = r#"{"id": the answer's id, "score": 0 to 1} or {"id": ..., "thumbs": "up"}"#;
    let Said { id, score, thumbs, source } = serde_json::from_slice(body)
        .map_err(|error| Error::value(format!("the request body: expected {wanted}: {error}")))?;
    let id = match id {
        Value::String(id) if !id.is_empty() => Wanted::Response(id, None),
        Value::Number(id) if id.is_i64() => Wanted::Call(id.as_i64().unwrap_or_default()),
        _ => return Err(Error::value("`id`: expected the answer's id, a text, or the number of a call")),
    };
    let score = match (score, thumbs) {
        (Some(score), None) => match score {
            Value::Bool(good) => Some(f64::from(u8::from(good))),
            score => score.as_f64().filter(|score| (0.0..=1.0).contains(score)),
        }
        .ok_or_else(|| Error::value("`score`: expected a number from 0 to 1"))?,
        (None, Some(thumbs)) => match &thumbs {
            Value::Bool(up) => f64::from(u8::from(*up)),
            Value::String(way) if way == "up" => 1.0,
            Value::String(way) if way == "down" => 0.0,
            _ => return Err(Error::value(r#"`thumbs`: expected "up" or "down""#)),
        },
        _ => return Err(Error::value(format!("expected either `score` or `thumbs`: {wanted}"))),
    };
    let source = source.unwrap_or_else(|| SOURCE.to_owned());
    let is_word = !source.is_empty() && source.len() <= LONGEST && !source.chars().any(char::is_control);
    if !is_word || source == DRAWN {
        return Err(Error::value("`source`: expected a word such as user, gold or feedback"));
    }
    Ok((id, score, source))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn scores_and_thumbs() {
        let score = |body: &str| said(body.as_bytes()).map(|(_, score, _)| score);
        assert_eq!(score(r#"{"id":"a","score":0.5}"#).unwrap(), 0.5);
        assert_eq!(score(r#"{"id":"a","score":true}"#).unwrap(), 1.0);
        assert_eq!(score(r#"{"id":17,"thumbs":"down"}"#).unwrap(), 0.0);
        for wrong in [
            "[]",
            r#"{"id":"a"}"#,
            r#"{"id":"","score":1}"#,
            r#"{"id":"a","score":1.1}"#,
            r#"{"id":"a","score":null}"#,
            r#"{"id":"a","score":1,"thumbs":"up"}"#,
            r#"{"id":"a","thumbs":"sideways"}"#,
            r#"{"id":"a","score":1,"source":"ferroute:drawn"}"#,
            r#"{"id":"a","score":1,"extra":1}"#,
        ] {
            assert_eq!(score(wrong).unwrap_err().http_status(), 400, "{wrong}");
        }
    }
}
