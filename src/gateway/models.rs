//! `/v1/models`: what may be asked for by name (routers, models, aliases), and what it costs.

use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value, json};

use super::protocol::Protocol;
use super::protocol::openai::OpenAi;
use super::setup::Setup;
use super::state::Gateway;
use super::target::Target;
use super::told::Told;
use super::{admit, chat};
use crate::error::{Denied, Error, Result};
use crate::policy::Scope;
use crate::pricing::table::shown;
use crate::pricing::{ServiceTier, Table, Unit};

/// `GET /v1/models`.
pub(super) async fn list(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response<Body> {
    answer(&gateway, "/v1/models", &headers, |setup, of_anthropic| {
        let data: Vec<Value> = all(setup).map(|entry| entry.shown(of_anthropic)).collect();
        let mut body = json!({"object": "list", "data": data});
        if of_anthropic {
            let id = |entry: Option<&Value>| entry.and_then(|entry| entry.get("id")).cloned().unwrap_or_default();
            (body["first_id"], body["last_id"]) = (id(data.first()), id(data.last()));
            body["has_more"] = false.into();
        }
        Ok(body)
    })
    .await
}

/// `GET /v1/models/{id}`.
pub(super) async fn one(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    answer(&gateway, "/v1/models/{id}", &headers, |setup, of_anthropic| {
        let found = all(setup).find(|entry| entry.id == id).or_else(|| asked(setup, &id));
        found.map(|entry| entry.shown(of_anthropic)).ok_or_else(|| {
            let denied = Denied { status: 404, code: "model_not_found", retry_after: None };
            Error::denied(denied, "There is no model of that name here; GET /v1/models lists those that there are")
        })
    })
    .await
}

async fn answer(
    gateway: &Arc<Gateway>,
    path: &'static str,
    headers: &HeaderMap,
    made: impl FnOnce(&Setup, bool) -> Result<Value>,
) -> Response<Body> {
    let work = async move {
        let mut told = Told::begin(gateway, OpenAi.name(), path, headers);
        let setup = gateway.setup();
        let made = admit::caller(&setup, headers, Scope::Chat).and_then(|caller| {
            told.caller = caller;
            made(&setup, headers.contains_key("anthropic-version"))
        });
        match made {
            Ok(body) => chat::whole(told, Bytes::from(body.to_string())),
            Err(error) => chat::failed(told, &OpenAi, &error),
        }
    };
    chat::guarded(&OpenAi, work).await
}

/// One line of the list.
struct Entry {
    id: String,
    owner: String,
    told: Map<String, Value>,
}

impl Entry {
    fn new(id: String, owner: &str, kind: &str, more: Value) -> Self {
        let mut told = Map::new();
        told.insert("kind".to_owned(), kind.into());
        if let Value::Object(more) = more {
            told.extend(more);
        }
        Self { id, owner: owner.to_owned(), told }
    }

    fn shown(self, of_anthropic: bool) -> Value {
        // Nobody knows when a model was made; clients want a time all the same.
        static SINCE: LazyLock<u64> =
            LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        let mut entry = json!({"id": self.id, "object": "model", "created": *SINCE, "owned_by": self.owner});
        if of_anthropic {
            entry["type"] = "model".into();
            entry["display_name"] = entry["id"].clone();
            entry["created_at"] = rfc3339(*SINCE).into();
        }
        entry["ferroute"] = self.told.into();
        entry
    }
}

/// Seconds since 1970 as Anthropic writes a time.
fn rfc3339(seconds: u64) -> String {
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

/// Routers first, then the models of the ladder and the others, then aliases.
fn all(setup: &Setup) -> impl Iterator<Item = Entry> {
    let deciding = &setup.deciding;
    let routers = deciding.routers().map(|name| {
        let models: Vec<&str> = deciding.targets().iter().map(|target| target.name.as_str()).collect();
        let form = format!("router-{name}-<threshold>, such as router-{name}-0.5 or router-{name}-30%");
        Entry::new(format!("router-{name}"), "ferroute", "router", json!({"form": form, "models": models}))
    });
    let models = setup.models.targets().map(|target| {
        let rung = deciding.targets().iter().position(|rung| rung.name == target.name);
        let tier = rung.and_then(|rung| deciding.ladder().names().get(rung).map(String::as_str));
        Entry::new(
            target.name.clone(),
            target.plan.endpoints.first().map_or("ferroute", |endpoint| endpoint.provider),
            "model",
            json!({"tier": tier, "usd_per_million_tokens": price(target)}),
        )
    });
    let aliases = setup
        .models
        .aliases()
        .iter()
        .map(|(alias, meant)| Entry::new(alias.clone(), "ferroute", "alias", json!({"stands_for": meant})));
    routers.chain(models).chain(aliases)
}

/// A router with its threshold, which is no line of the list and may be asked for all the same.
fn asked(setup: &Setup, id: &str) -> Option<Entry> {
    let router = setup.deciding.understood(id)?;
    let models: Vec<&str> = setup.deciding.targets().iter().map(|target| target.name.as_str()).collect();
    Some(Entry::new(id.to_owned(), "ferroute", "router", json!({"router": router, "models": models})))
}

/// What each unit costs by the million; null where no price is known.
fn price(target: &Target) -> Value {
    let Some(endpoint) = target.plan.endpoints.first() else { return Value::Null };
    let names: Vec<&str> = endpoint.base_model.as_deref().into_iter().chain([endpoint.name.as_str()]).collect();
    let Some(price) = Table::shared().price(&names, ServiceTier::Standard, None) else { return Value::Null };
    let units = shown(&price.rates).filter(|(unit, _)| *unit != Unit::Request);
    let units = units.map(|(unit, rate)| (unit.name().to_owned(), rate.base.to_f64().into()));
    Value::Object(units.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(rfc3339(1_709_251_200), "2024-03-01T00:00:00Z");
        assert_eq!(rfc3339(1_798_761_599), "2026-12-31T23:59:59Z");
    }
}
