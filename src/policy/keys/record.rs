//! A key as it is kept and shown.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::math::calendar::{date_of, days_until};
use crate::policy::budget::limit_of;
use crate::policy::gate::Gate;
use crate::policy::key::{Key, Scopes, now_us};
use crate::policy::lifetime::{LIFETIME_WORDS, lifetime};
use crate::policy::notation::{BUDGET_WORDS, RATE_WORDS, budget, rate};
use crate::policy::rules::{AtLimit, Rate, Rule, Who};
use crate::policy::secret::{self, Digest};

/// The longest name that is kept.
const LONGEST_NAME: usize = 200;
const DAY_US: i64 = 86_400_000_000;

/// What a new key is to be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewKey {
    /// What its owner calls it; its id where there is none.
    pub name: Option<String>,
    /// The team it belongs to.
    pub team: Option<String>,
    /// Names of scopes; those that programs need where there are none.
    pub scopes: Option<Vec<String>>,
    /// The only models and routers it may ask for.
    pub models: Option<Vec<String>>,
    /// US dollars of its own, such as `5/day`.
    pub budget: Option<String>,
    /// Such as `100/minute`.
    pub requests: Option<String>,
    /// Such as `100000/minute`.
    pub tokens: Option<String>,
    /// Requests at the same time.
    pub concurrency: Option<u32>,
    /// `refuse` or `downgrade`.
    pub at_limit: Option<String>,
    /// Such as `90d`, or a day such as `2027-01-31`, on which it ends as it begins (UTC).
    pub expires: Option<String>,
}

/// A key as the table has it.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) digest: Digest,
    pub(super) shown: Shown,
}

/// A key as its administrator sees it; times are microseconds since 1970, and seconds where it is written as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Shown {
    /// Public id.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The team it belongs to.
    pub team: Option<String>,
    /// Names of its scopes.
    pub scopes: Vec<String>,
    /// The only models and routers it may ask for.
    pub models: Option<Vec<String>>,
    /// US dollars of its own.
    pub budget: Option<String>,
    /// Requests of its own.
    pub requests: Option<String>,
    /// Tokens of its own.
    pub tokens: Option<String>,
    /// Requests at the same time.
    pub concurrency: Option<i64>,
    /// `refuse` or `downgrade`.
    pub at_limit: String,
    /// When it was made.
    #[serde(serialize_with = "seconds")]
    pub created: i64,
    /// When it ends.
    #[serde(serialize_with = "maybe_seconds")]
    pub expires: Option<i64>,
    /// When it was revoked.
    #[serde(serialize_with = "maybe_seconds")]
    pub revoked: Option<i64>,
}

impl NewKey {
    /// Reads a JSON object, and sees to it that it makes sense.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value), naming what was expected.
    pub fn read(json: &[u8]) -> Result<Self> {
        let wrong = |error: serde_json::Error| Error::value(format!("expected the fields of a key: {error}"));
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json).map_err(wrong)?;
        let new: Self = serde_json::from_value(object.into()).map_err(wrong)?;
        new.clone().made()?;
        Ok(new)
    }

    /// A key with a fresh secret, which is given beside it and kept nowhere.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value), naming what was expected.
    pub(super) fn made(self) -> Result<(String, Record)> {
        let id = secret::fresh_id()?;
        let created = now_us();
        let scopes = match &self.scopes {
            Some(names) => Scopes::named(names.iter().map(String::as_str))?,
            None => Scopes::default(),
        };
        if let Some(list) = &self.models
            && list.iter().any(|model| model.trim().is_empty())
        {
            return Err(Error::value("models: expected names of models and routers, found an empty one"));
        }
        if self.models.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::value("models: a key that may ask for none can do nothing; leave it out for all"));
        }
        if self.concurrency == Some(0) {
            return Err(Error::value("concurrency: expected at least 1, found 0"));
        }
        let shown = Shown {
            name: own_name(self.name)?.unwrap_or_else(|| id.clone()),
            team: word("team", self.team)?,
            scopes: scopes.names().into_iter().map(str::to_owned).collect(),
            models: self.models,
            budget: money(self.budget)?,
            requests: checked("requests", self.requests, RATE_WORDS, |text| rate(text).is_some())?,
            tokens: checked("tokens", self.tokens, RATE_WORDS, |text| rate(text).is_some())?,
            concurrency: self.concurrency.map(i64::from),
            at_limit: checked("at_limit", self.at_limit, "refuse or downgrade", |text| at_limit(text).is_some())?
                .unwrap_or_else(|| "refuse".to_owned()),
            created,
            expires: self.expires.map(|text| moment(&text, created)).transpose()?,
            revoked: None,
            id,
        };
        let secret = secret::fresh()?;
        let record = Record { digest: Digest::of(&secret), shown };
        Ok((secret, record))
    }
}

impl Record {
    /// The key it is, going on where the same key stood before.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) where another program has written what is none: such a key is not valid.
    pub(super) fn key(&self, before: Option<&Key>) -> Result<Arc<Key>> {
        let shown = &self.shown;
        let limit = |what: &str, text: &Option<String>| -> Result<Option<Rate>> {
            let unread = |text: &String| Error::value(format!("key {}: {what} {text:?} cannot be read", shown.id));
            text.as_ref().map(|text| rate(text).ok_or_else(|| unread(text))).transpose()
        };
        let money = shown.budget.as_ref().map(|text| {
            budget(text).ok_or_else(|| Error::value(format!("key {}: budget {text:?} cannot be read", shown.id)))
        });
        let at_limit = at_limit(&shown.at_limit).unwrap_or_default();
        let rule = Rule {
            who: Who { key: Some(shown.id.clone()), ..Who::default() },
            requests: limit("requests", &shown.requests)?,
            tokens: limit("tokens", &shown.tokens)?,
            concurrency: shown.concurrency.map(|most| u32::try_from(most.max(0)).unwrap_or(u32::MAX)),
            models: shown.models.clone(),
            at_limit,
            ..Rule::default()
        };
        let limits = rule.requests.is_some() || rule.tokens.is_some() || rule.concurrency.is_some();
        let old = before.and_then(|key| key.gate.as_deref());
        let gate = (limits || rule.models.is_some()).then(|| Arc::new(Gate::new(Arc::new(rule), old)));
        Ok(Arc::new(Key {
            id: shown.id.clone(),
            name: shown.name.clone(),
            team: shown.team.clone(),
            scopes: Scopes::named(shown.scopes.iter().map(String::as_str))?,
            expires: shown.expires,
            budget: money.transpose()?,
            at_limit,
            gate,
        }))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn seconds<S: Serializer>(time: &i64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_i64(time.div_euclid(1_000_000))
}

#[expect(clippy::ref_option, reason = "serde's form")]
fn maybe_seconds<S: Serializer>(time: &Option<i64>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => seconds(time, to),
        None => to.serialize_none(),
    }
}

fn at_limit(text: &str) -> Option<AtLimit> {
    match text {
        "refuse" => Some(AtLimit::Refuse),
        "downgrade" => Some(AtLimit::Downgrade),
        _ => None,
    }
}

/// A name that can be shown on one line.
fn word(what: &str, text: Option<String>) -> Result<Option<String>> {
    let Some(text) = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > LONGEST_NAME || text.chars().any(char::is_control) {
        return Err(Error::value(format!("{what}: expected at most {LONGEST_NAME} characters on one line")));
    }
    Ok(Some(text))
}

/// A key's name, which is no other key's id: rules and the command to end one go by either.
fn own_name(text: Option<String>) -> Result<Option<String>> {
    let name = word("name", text)?;
    match name {
        Some(name) if name.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case("key_")) => {
            Err(Error::value("name: names that begin with key_ are ids, which are given by the server"))
        }
        name => Ok(name),
    }
}

/// A budget that can be kept.
fn money(text: Option<String>) -> Result<Option<String>> {
    let text = checked("budget", text, BUDGET_WORDS, |text| budget(text).is_some())?;
    if let Some(budget) = text.as_deref().and_then(budget) {
        limit_of(&budget).map_err(|error| error.context("budget"))?;
    }
    Ok(text)
}

fn checked(what: &str, text: Option<String>, words: &str, is: impl Fn(&str) -> bool) -> Result<Option<String>> {
    match text {
        Some(text) if !is(&text) => Err(Error::value(format!("{what}: expected {words}, found {text:?}"))),
        text => Ok(text),
    }
}

/// `90d` from now, or a day.
fn moment(text: &str, now: i64) -> Result<i64> {
    if let Some(time) = lifetime(text) {
        return Ok(now.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)));
    }
    let wrong =
        || Error::value(format!("expires: expected {LIFETIME_WORDS}, or a day such as 2027-01-31, found {text:?}"));
    let parts: Vec<&str> = text.trim().split('-').collect();
    let [year, month, day] = parts[..] else { return Err(wrong()) };
    if (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return Err(wrong());
    }
    let number = |text: &str| text.parse::<u16>().map(i64::from).map_err(|_| wrong());
    let date = (number(year)?, number(month)?, number(day)?);
    let days = days_until(date.0, date.1, date.2);
    // A day that is none comes back as another one.
    if date.0 < 1970 || date_of(days) != date {
        return Err(wrong());
    }
    let moment = days * DAY_US;
    if moment <= now {
        return Err(Error::value(format!("expires: {text} is over")));
    }
    Ok(moment)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn new(json: &str) -> Result<(String, Record)> {
        NewKey::read(json.as_bytes())?.made()
    }

    #[test]
    fn a_key_is_made_and_becomes_what_was_asked_for() {
        let (secret, record) = new(
            r#"{"name":"ci","team":"search","scopes":["chat","ui"],"models":["router-local"],"budget":"5/day",
                "requests":"100/minute","tokens":"100000/minute","concurrency":8,"at_limit":"downgrade","expires":"90d"}"#,
        )
        .unwrap();
        assert!(secret.starts_with("frk_") && record.digest.is(&Digest::of(&secret)));
        assert_eq!(record.shown.expires.unwrap() - record.shown.created, 90 * DAY_US);
        let key = record.key(None).unwrap();
        assert_eq!((key.name.as_str(), key.team.as_deref()), ("ci", Some("search")));
        assert_eq!((key.at_limit, key.budget.unwrap().limit.to_string()), (AtLimit::Downgrade, "5".to_owned()));
        let gate = key.gate.as_ref().unwrap();
        assert_eq!(gate.rule.who.key.as_ref(), Some(&key.id));
        assert_eq!(gate.rule.models.as_deref(), Some(&["router-local".to_owned()][..]));
        assert!(!format!("{record:?} {key:?}").contains(&secret[4..]));
        let (_, plain) = new("{}").unwrap();
        assert_eq!(plain.shown.name, plain.shown.id);
        assert!(plain.key(None).unwrap().gate.is_none());
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (json, word) in [
            (r#"{"budget":"5"}"#, "budget: expected US dollars"),
            (r#"{"budget":"10000000/day"}"#, "budget: a budget must be from 0 to 9000000 US dollars"),
            (r#"{"name":"key_0123456789abcdef"}"#, "begin with key_"),
            (r#"{"name":" Key_1"}"#, "begin with key_"),
            (r#"{"requests":"0/minute"}"#, "requests: expected"),
            (r#"{"tokens":"many"}"#, "tokens: expected"),
            (r#"{"concurrency":0}"#, "at least 1"),
            (r#"{"scopes":["admin"]}"#, "scopes: expected some of"),
            (r#"{"scopes":[]}"#, "can do nothing"),
            (r#"{"models":[]}"#, "can do nothing"),
            (r#"{"models":[" "]}"#, "empty"),
            (r#"{"at_limit":"wait"}"#, "refuse or downgrade"),
            (r#"{"expires":"2027-02-30"}"#, "2027-01-31"),
            (r#"{"expires":"2020-01-01"}"#, "is over"),
            (r#"{"expires":"tomorrow"}"#, "90d"),
            (r#"{"name":"a\nb"}"#, "on one line"),
            (r#"{"nmae":"a"}"#, "unknown field"),
            ("[]", "expected the fields"),
            ("", "expected the fields"),
        ] {
            let error = new(json).unwrap_err();
            assert!(error.message().contains(word), "{json}: {error}");
        }
        assert_eq!(moment("2027-01-31", 0).unwrap(), days_until(2027, 1, 31) * DAY_US);
    }
}
