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
use super::shown::Shown;
use super::state::Gateway;
use super::told::Told;
use super::{admit, body, chat};
use crate::error::{Denied, Error, Kind, Result};
use crate::ledger::{DRAWN, Ledger, Score, Wanted};
use crate::policy::{Caller, Keys, Scope};

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
    let is_admin = setup.auth.admin(&head.headers).is_ok();
    if !is_admin {
        told.caller = admit::caller(&setup, &head.headers, Scope::Feedback)?;
    }
    let from = Instant::now();
    let read = body::whole(&head.headers, sent, &setup.server).await;
    told.waited_since(from);
    let said = said(&read?)?;
    let free = is_admin || !setup.auth.is_required();
    if !free && is_reserved(&said.source) {
        return Err(Error::denied(
            Denied { status: 403, code: "source_not_allowed", retry_after: None },
            "`source`: `gold` and judges are for the admin key; leave it out, or give another word such as user",
        ));
    }
    let Some(ledger) = setup.ledger() else {
        return Err(Error::denied(
            Denied { status: 404, code: "no_ledger", retry_after: None },
            "this server keeps no ledger, so there is no call to say something of",
        ));
    };
    let from = Instant::now();
    // The store may have to be asked, which takes its time.
    let calls = meant(said.id, gateway.shown());
    let by = (!free).then(|| By { caller: told.caller.clone(), keys: setup.auth.keys().cloned() });
    let work = move || enter(&ledger, &calls, said.score, said.source, by.as_ref());
    let done = tokio::task::spawn_blocking(work).await;
    told.waited_since(from);
    done.map_err(|_| Error::new(Kind::Io, "the score could not be entered"))??;
    Ok(Bytes::from_static(br#"{"status":"ok"}"#))
}

/// Who says something of an answer.
struct By {
    caller: Caller,
    keys: Option<Arc<Keys>>,
}

impl By {
    /// Whether a call that was made with this key is his, or his team's.
    fn may(&self, key: Option<&str>) -> bool {
        let (Some(own), Some(key)) = (self.caller.key.as_deref(), key) else { return false };
        let is_of_team = || {
            let (team, keys) = own.team.as_ref().zip(self.keys.as_ref())?;
            let other = keys.list().ok()?.into_iter().find(|other| other.id == key)?;
            Some(other.team.as_ref() == Some(team))
        };
        own.id == key || is_of_team().unwrap_or(false)
    }
}

/// Sources that are trusted more than what callers say.
fn is_reserved(source: &str) -> bool {
    let source = source.trim().to_ascii_lowercase();
    source == "gold" || source.starts_with("judge")
}

/// The calls that an id may mean, the likeliest first: every id that callers are shown is one.
fn meant(id: Id, shown: &Shown) -> Vec<Wanted> {
    let id = match id {
        Id::Call(id) => return vec![Wanted::Call(id)],
        Id::Shown(id) => id,
    };
    if let Some(answered) = shown.find(&id) {
        return vec![Wanted::Response(answered.response.into(), Some(answered.by))];
    }
    // What the protocols put before the provider's id.
    let bare = ["msg_", "resp_"].iter().find_map(|prefix| id.strip_prefix(prefix)).map(str::to_owned);
    [Some(id), bare.filter(|id| !id.is_empty())].into_iter().flatten().map(|id| Wanted::Response(id, None)).collect()
}

fn not_found() -> Error {
    Error::denied(
        Denied { status: 404, code: "call_not_found", retry_after: None },
        "there is no call of yours with this id in the ledger: it is the `id` of the answer or its x-request-id, which is \
         known a moment after its end",
    )
}

fn enter(ledger: &Ledger, calls: &[Wanted], score: f64, source: String, by: Option<&By>) -> Result<()> {
    let unread = |_| Error::new(Kind::Io, "the ledger cannot be read at the moment");
    let mut found = None;
    for wanted in calls {
        match ledger.find(wanted) {
            Ok(call) => {
                found = Some(call);
                break;
            }
            Err(error) if error.kind() == Kind::Name => {}
            Err(error) => return Err(unread(error)),
        }
    }
    let call = found.ok_or_else(not_found)?;
    if let Some(by) = by
        && !by.may(ledger.key_of(call).map_err(unread)?.as_deref())
    {
        return Err(not_found());
    }
    // With which probability it was picked is known where a shadow was drawn; else people pick by themselves.
    let probability = ledger.drawn(&Wanted::Call(call)).unwrap_or(None);
    let ts = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ts = i64::try_from(ts.as_micros()).unwrap_or(i64::MAX);
    ledger
        .score(Score { call, ts, source, score, probability, model: None })
        .map_err(|_| Error::new(Kind::Io, "the ledger takes no scores at the moment"))
}

/// What names the call.
enum Id {
    /// An id that a caller is shown.
    Shown(String),
    /// The number of a call.
    Call(i64),
}

/// The call that is meant, the score, and who gives it.
struct Opinion {
    id: Id,
    score: f64,
    source: String,
}

fn said(body: &[u8]) -> Result<Opinion> {
    let wanted = r#"{"id": the answer's id, "score": 0 to 1} or {"id": ..., "thumbs": "up"}"#;
    // A list would be read as the fields in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Error::value(format!("the request body: expected {wanted}")));
    }
    let Said { id, score, thumbs, source } = serde_json::from_slice(body)
        .map_err(|error| Error::value(format!("the request body: expected {wanted}: {error}")))?;
    let id = match id {
        Value::String(id) if !id.is_empty() => Id::Shown(id),
        Value::Number(id) if id.is_i64() => Id::Call(id.as_i64().unwrap_or_default()),
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
    if !is_word || source == DRAWN || source.starts_with("ferroute:") {
        return Err(Error::value("`source`: expected a word such as user, gold or feedback"));
    }
    Ok(Opinion { id, score, source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn scores_and_thumbs() {
        let score = |body: &str| said(body.as_bytes()).map(|said| said.score);
        assert_eq!(score(r#"{"id":"a","score":0.5}"#).unwrap(), 0.5);
        assert_eq!(score(r#"{"id":"a","score":true}"#).unwrap(), 1.0);
        assert_eq!(score(r#"{"id":17,"thumbs":"down"}"#).unwrap(), 0.0);
        for wrong in [
            "[]",
            r#"["a", 0.5, null, null]"#,
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

    #[test]
    fn every_id_that_is_shown_means_its_call() {
        let shown = Shown::default();
        shown.keep("req_1", "c1");
        let ids = |id: &str| {
            let names = meant(Id::Shown(id.to_owned()), &shown).into_iter().map(|wanted| match wanted {
                Wanted::Response(id, by) => (id, by.is_some()),
                Wanted::Call(id) => (id.to_string(), false),
            });
            names.collect::<Vec<_>>()
        };
        let plain = |id: &str| (id.to_owned(), false);
        assert_eq!(ids("req_1"), [("c1".to_owned(), true)]);
        assert_eq!(ids("msg_c1"), [plain("msg_c1"), plain("c1")]);
        assert_eq!(ids("resp_c1"), [plain("resp_c1"), plain("c1")]);
        assert_eq!((ids("c1"), ids("msg_")), (vec![plain("c1")], vec![plain("msg_")]));
        assert!(is_reserved("Gold") && is_reserved("judge:gpt-5.5") && !is_reserved("user"));
    }
}
