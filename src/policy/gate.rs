//! The limits of one rule as they are kept to: buckets, places, names that may be asked for.

use std::sync::Arc;
use std::time::Duration;

use super::notation::rate_text;
use super::rate::{self, Bucket, Slot, Slots};
use super::rules::{Rule, Who};
use crate::error::{Denied, Error};

/// A rule with what is left of its limits.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(super) rule: Arc<Rule>,
    pub(super) requests: Option<Arc<Bucket>>,
    pub(super) tokens: Option<Arc<Bucket>>,
    pub(super) slots: Option<Slots>,
}

/// What was taken at some gates; what is dropped unkept is given back.
#[derive(Debug, Default)]
pub(super) struct Taken {
    slots: Vec<Slot>,
    requests: Vec<Arc<Bucket>>,
    tokens: Vec<Tokens>,
    kept: bool,
}

#[derive(Debug)]
struct Tokens {
    bucket: Arc<Bucket>,
    guess: f64,
    estimate: f64,
}

impl Gate {
    /// Of this rule. A limit that was the same before goes on as it is: a reload forgives nobody.
    pub(super) fn new(rule: Arc<Rule>, before: Option<&Self>) -> Self {
        let same = |rate, old: Option<&Arc<Bucket>>| {
            old.filter(|old| old.rate() == rate).map_or_else(|| Arc::new(Bucket::new(rate)), Arc::clone)
        };
        let requests = rule.requests.map(|rate| same(rate, before.and_then(|gate| gate.requests.as_ref())));
        let tokens = rule.tokens.map(|rate| same(rate, before.and_then(|gate| gate.tokens.as_ref())));
        let slots = rule.concurrency.map(|most| {
            let before = before.and_then(|gate| gate.slots.as_ref());
            before.map_or_else(|| Slots::new(most), |before| before.resized(most))
        });
        Self { rule, requests, tokens, slots }
    }

    /// Takes one request of this first guess at its tokens, or says why not.
    pub(super) fn enter(&self, taken: &mut Taken, now: f64, guess: f64) -> Result<(), Error> {
        let whom = whom(&self.rule.who);
        if let Some(slots) = &self.slots {
            let slot = slots.take().ok_or_else(|| {
                let text = format!(
                    "Too many requests at the same time: {} for {whom}. Try again when one has ended.",
                    slots.most
                );
                denied(429, "concurrency_limit_exceeded", Some(Duration::from_secs(1)), text)
            })?;
            taken.slots.push(slot);
        }
        if let Some(bucket) = &self.requests {
            bucket.take(now, 1.0).map_err(|wait| {
                let text = format!("Rate limit reached: {} requests for {whom}.", rate_text(&bucket.rate()));
                denied(429, "rate_limit_exceeded", Some(wait), text)
            })?;
            taken.requests.push(Arc::clone(bucket));
        }
        if let Some(bucket) = &self.tokens {
            let estimate = bucket.take_estimate(now, guess).map_err(|wait| {
                let text = format!("Rate limit reached: {} tokens for {whom}.", rate_text(&bucket.rate()));
                denied(429, "rate_limit_exceeded", Some(wait), text)
            })?;
            taken.tokens.push(Tokens { bucket: Arc::clone(bucket), guess, estimate });
        }
        Ok(())
    }
}

impl Taken {
    /// What was taken counts: the request goes.
    pub(super) fn keep(&mut self, mut other: Self) {
        self.slots.append(&mut other.slots);
        self.requests.append(&mut other.requests);
        self.tokens.append(&mut other.tokens);
        self.kept = true;
    }

    /// So many tokens it came to.
    pub(super) fn settle(&mut self, tokens: u64) {
        let now = rate::now();
        for taken in self.tokens.drain(..) {
            taken.bucket.settle(now, taken.guess, taken.estimate, tokens as f64);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.kept {
            // Nobody has said what it came to: the estimate stands.
            return;
        }
        for bucket in self.requests.drain(..) {
            bucket.give(1.0);
        }
        for taken in self.tokens.drain(..) {
            taken.bucket.give(taken.estimate);
        }
    }
}

/// Whom a rule is for, as its caller may read it.
pub(super) fn whom(who: &Who) -> String {
    let mut parts = Vec::new();
    if who.key.is_some() {
        parts.push("this key".to_owned());
    }
    parts.extend(who.team.as_ref().map(|team| format!("team {team}")));
    parts.extend(who.model.as_ref().map(|model| format!("model {model}")));
    if who.key.is_none() && who.team.is_none() {
        parts.push("all callers together".to_owned());
    }
    parts.join(", ")
}

pub(super) fn denied(status: u16, code: &'static str, retry_after: Option<Duration>, text: impl Into<String>) -> Error {
    Error::denied(Denied { status, code, retry_after }, text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::rules::Rate;
    use super::*;

    fn rule(requests: Option<u64>, tokens: Option<u64>, concurrency: Option<u32>) -> Arc<Rule> {
        let rate = |count| Rate { count, per: Duration::from_hours(1) };
        Arc::new(Rule { requests: requests.map(rate), tokens: tokens.map(rate), concurrency, ..Rule::default() })
    }

    #[test]
    fn what_the_next_gate_refuses_is_given_back_by_the_first() {
        let (wide, narrow) =
            (Gate::new(rule(Some(2), Some(50), Some(2)), None), Gate::new(rule(Some(1), None, None), None));
        let enter = || {
            let mut taken = Taken::default();
            wide.enter(&mut taken, 0.0, 10.0).and_then(|()| narrow.enter(&mut taken, 0.0, 10.0)).map(|()| taken)
        };
        let mut first = enter().unwrap();
        first.keep(Taken::default());
        for _ in 0..20 {
            let error = enter().unwrap_err();
            assert_eq!(error.why_denied().unwrap().code, "rate_limit_exceeded");
        }
        assert_eq!(wide.slots.as_ref().unwrap().used(), 1);
        assert_eq!(wide.requests.as_ref().unwrap().told(0.0).remaining, 1);
        assert_eq!(wide.tokens.as_ref().unwrap().told(0.0).remaining, 40);
        first.settle(30);
        drop(first);
        assert_eq!(wide.slots.as_ref().unwrap().used(), 0);
        assert_eq!(wide.requests.as_ref().unwrap().told(0.0).remaining, 1, "a request that went is counted");
        assert_eq!(wide.tokens.as_ref().unwrap().told(0.0).remaining, 20);
    }

    #[test]
    fn a_reload_forgives_nobody() {
        let before = Gate::new(rule(Some(1), None, Some(1)), None);
        let mut taken = Taken::default();
        before.enter(&mut taken, 0.0, 0.0).unwrap();
        let same = Gate::new(rule(Some(1), None, Some(2)), Some(&before));
        assert!(same.requests.as_ref().unwrap().take(0.0, 1.0).is_err());
        let second = same.slots.as_ref().unwrap().take();
        assert!(second.is_some() && same.slots.as_ref().unwrap().take().is_none(), "one of the two is taken there");
        let other = Gate::new(rule(Some(5), None, None), Some(&before));
        assert_eq!(other.requests.as_ref().unwrap().told(0.0).remaining, 5);
    }
}
