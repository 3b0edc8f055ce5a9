//! The policies of a configuration, and what a request passes of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::allowed;
use super::gate::{Gate, Taken, denied};
use super::key::{Caller, Key};
use super::rate::{Bucket, Told, now};
use super::rules::{AtLimit, Rule, ShareCap, Who};
use super::rung::Rung;
use super::share::{Allowance, Ring};
use crate::error::Result;

/// Bytes of a body that are taken for one token, before it is known what bodies come to.
const BYTES_PER_TOKEN: f64 = 4.0;
/// Tokens that an answer without a limit is taken to have where nobody has said how many it had.
const USUAL_ANSWER: u64 = 4096;

/// Rates, places, share caps and allowed models of one configuration, with what is left of them.
#[derive(Debug, Default)]
pub struct Policies {
    gates: Vec<Arc<Gate>>,
    pub(super) caps: Vec<Cap>,
    /// Places in `gates` of the rules for a key, by its id or name.
    keys: HashMap<String, Vec<usize>>,
    /// The same for a team, where no key is named.
    teams: HashMap<String, Vec<usize>>,
    everybody: Vec<usize>,
}

/// A share cap with the decisions it has seen.
#[derive(Debug)]
pub(super) struct Cap {
    pub(super) who: Who,
    pub(super) share: ShareCap,
    pub(super) at_limit: AtLimit,
    pub(super) allowance: Allowance,
    pub(super) ring: Arc<Mutex<Ring>>,
}

/// A request that is under way: it holds its places until it is dropped, which a stream does at its end.
#[derive(Debug, Default)]
pub struct Pass {
    pub(super) taken: Taken,
    pub(super) gates: Vec<Arc<Gate>>,
    pub(super) guess: f64,
}

/// A share cap and how it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct CapState {
    /// Whose decisions are counted.
    pub who: Who,
    /// The model that is capped.
    pub model: String,
    /// 0..=1.
    pub most: f64,
    /// Decisions in the ring, at most 999.
    pub seen: usize,
    /// Those of them that went to the model.
    pub strong: usize,
}

/// A rate or a number of places and how it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitState {
    /// Whom it is for.
    pub who: Who,
    /// `requests`, `tokens` or `concurrency`.
    pub kind: &'static str,
    /// How many.
    pub limit: u64,
    /// In which time; `None` for places.
    pub per: Option<Duration>,
    /// How many are left now.
    pub remaining: u64,
}

impl Policies {
    /// To these rules.
    pub fn new(rules: &[Rule]) -> Self {
        Self::after(rules, &Self::default())
    }

    /// To these rules after others: what has been spent of limits that stay is not forgotten.
    pub fn after(rules: &[Rule], before: &Self) -> Self {
        let mut new = Self::default();
        for rule in rules {
            let old = before.gates.iter().find(|gate| gate.rule.who == rule.who && alike(&gate.rule, rule));
            let at = new.gates.len();
            let place = match &rule.who {
                Who { key: Some(key), .. } => new.keys.entry(key.clone()).or_default(),
                Who { team: Some(team), .. } => new.teams.entry(team.clone()).or_default(),
                Who { .. } => &mut new.everybody,
            };
            place.push(at);
            new.gates.push(Arc::new(Gate::new(Arc::new(rule.clone()), old.map(Arc::as_ref))));
            if let Some(share) = &rule.share {
                let old = before.caps.iter().find(|cap| cap.who == rule.who && cap.share.model == share.model);
                new.caps.push(Cap {
                    who: rule.who.clone(),
                    share: share.clone(),
                    at_limit: rule.at_limit,
                    allowance: Allowance::new(share.most),
                    ring: old.map(|cap| Arc::clone(&cap.ring)).unwrap_or_default(),
                });
            }
        }
        new
    }

    /// Goes on where the policies of an earlier configuration stand.
    pub fn inherit(&mut self, before: &Self) {
        let rules: Vec<Rule> = self.gates.iter().map(|gate| Rule::clone(&gate.rule)).collect();
        *self = Self::after(&rules, before);
    }

    /// Lets a request in that asks for a model: `asked` as the caller wrote it, `meant` what that stands for, `bytes` the length of
    /// its body.
    ///
    /// # Errors
    /// [`Kind::Denied`](crate::Kind::Denied): 403 `model_not_allowed`; 429 `rate_limit_exceeded` or `concurrency_limit_exceeded`.
    pub fn enter(&self, caller: &Caller, asked: &str, meant: &str, bytes: usize) -> Result<Pass> {
        let mut pass = Pass { guess: bytes as f64 / BYTES_PER_TOKEN, ..Pass::default() };
        if self.gates.is_empty() && caller.key.is_none() {
            return Ok(pass);
        }
        for gate in self.gates_of(caller) {
            if gate.rule.who.model.is_none()
                && gate.rule.models.as_ref().is_some_and(|list| !allowed::asks(list, asked, meant))
            {
                return Err(not_allowed(asked));
            }
        }
        let now = now();
        for gate in self.gates_of(caller) {
            if gate.rule.who.model.is_none() && gate.counts() {
                gate.enter(&mut pass.taken, now, pass.guess)?;
                pass.gates.push(Arc::clone(gate));
            }
        }
        Ok(pass)
    }

    /// Whether any of them is for this caller.
    pub fn concern(&self, caller: &Caller) -> bool {
        self.gates_of(caller).next().is_some()
    }

    /// Whether the caller may be answered by a model that nobody has decided for: a fallback, a rung an answer climbs to. `all` are
    /// the rungs of a router that was asked for; a model by its own name leaves no choice to anybody, and has none.
    pub fn may_answer(&self, caller: &Caller, rung: &Rung<'_>, all: &[Rung<'_>]) -> bool {
        let mut lists = self.gates_of(caller).filter_map(|gate| gate.rule.models.as_ref());
        lists.all(|list| if all.is_empty() { allowed::has(list, rung) } else { allowed::answers(list, rung, all) })
    }

    /// Why a model may not answer in the place of the `chosen` one: a share cap or a limit of its own would not count it. One that
    /// both are under has counted the chosen one.
    pub fn bars_instead(&self, caller: &Caller, rung: &Rung<'_>, chosen: &Rung<'_>) -> Option<&'static str> {
        let (key, team) = (caller.key.as_deref(), caller.team());
        let mut caps = self.caps.iter().filter(|cap| concerns(&cap.who, key, team));
        if caps.any(|cap| cap.is_of(rung) && !cap.is_of(chosen)) {
            return Some("its share is capped");
        }
        let mut models =
            self.gates_of(caller).filter(|gate| gate.counts()).filter_map(|gate| gate.rule.who.model.as_ref());
        models.any(|model| rung.is(model) && !chosen.is(model)).then_some("it has limits of its own")
    }

    /// All rules for a caller, his key's own first.
    pub(super) fn gates_of<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'a Arc<Gate>> {
        let key = caller.key.as_deref();
        let team = caller.team();
        let named = |name: &str| self.keys.get(name).map(Vec::as_slice).unwrap_or_default();
        let by_id = key.map(|key| named(&key.id)).unwrap_or_default();
        let by_name = key.filter(|key| key.name != key.id).map(|key| named(&key.name)).unwrap_or_default();
        let by_team = team.and_then(|team| self.teams.get(team)).map(Vec::as_slice).unwrap_or_default();
        let own = key.and_then(|key| key.gate.as_ref());
        let places = by_id.iter().chain(by_name).chain(by_team).chain(&self.everybody);
        let ours = places.map(|&at| &self.gates[at]).filter(move |gate| concerns(&gate.rule.who, key, team));
        own.into_iter().chain(ours)
    }

    /// How the share caps stand.
    pub fn caps(&self) -> Vec<CapState> {
        let state = |cap: &Cap| {
            let (seen, strong) = cap.ring.lock().unwrap_or_else(PoisonError::into_inner).counts();
            CapState { who: cap.who.clone(), model: cap.share.model.clone(), most: cap.share.most, seen, strong }
        };
        self.caps.iter().map(state).collect()
    }

    /// How rates and places stand; those of keys' own are not among them.
    pub fn limits(&self) -> Vec<LimitState> {
        let now = now();
        let mut states = Vec::new();
        for gate in &self.gates {
            let who = || gate.rule.who.clone();
            for (kind, bucket) in [("requests", &gate.requests), ("tokens", &gate.tokens)] {
                if let Some(bucket) = bucket {
                    let Told { limit, remaining, .. } = bucket.told(now);
                    states.push(LimitState { who: who(), kind, limit, per: Some(bucket.rate().per), remaining });
                }
            }
            if let Some(slots) = &gate.slots {
                let remaining = u64::from(slots.most.saturating_sub(slots.used()));
                let limit = u64::from(slots.most);
                states.push(LimitState { who: who(), kind: "concurrency", limit, per: None, remaining });
            }
        }
        states
    }
}

impl Cap {
    pub(super) fn is_of(&self, rung: &Rung<'_>) -> bool {
        rung.is(&self.share.model)
    }
}

impl Gate {
    /// Whether it counts anything.
    pub(super) fn counts(&self) -> bool {
        self.requests.is_some() || self.tokens.is_some() || self.slots.is_some()
    }
}

impl Pass {
    /// So many tokens the request came to, prompt and answer; said once, at its end. Where nobody says it, what was estimated
    /// stands.
    pub fn spent(&mut self, tokens: u64) {
        self.taken.settle(tokens);
    }

    /// Nobody will say what it came to, though it was sent: it counts as its prompt and `answers` answers of the length they
    /// may have, [`USUAL_ANSWER`] where it does not say.
    pub fn abandoned(&mut self, output: Option<u64>, answers: u64) {
        let output = output.unwrap_or(USUAL_ANSWER).saturating_mul(answers);
        self.spent(output.saturating_add(self.guess.max(0.0) as u64));
    }

    /// `OpenAI`'s headers that tell a caller how his limits stand: of the requests and of the tokens that are nearest to their end.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if self.gates.is_empty() {
            return headers;
        }
        let now = now();
        let tightest = |of: fn(&Gate) -> Option<&Arc<Bucket>>| {
            let told = self.gates.iter().filter_map(|gate| of(gate)).map(|bucket| bucket.told(now));
            told.min_by(|a, b| (a.remaining as f64 / a.limit as f64).total_cmp(&(b.remaining as f64 / b.limit as f64)))
        };
        if let Some(told) = tightest(|gate| gate.requests.as_ref()) {
            headers.push(("x-ratelimit-limit-requests", told.limit.to_string()));
            headers.push(("x-ratelimit-remaining-requests", told.remaining.to_string()));
            headers.push(("x-ratelimit-reset-requests", span(told.reset)));
        }
        if let Some(told) = tightest(|gate| gate.tokens.as_ref()) {
            headers.push(("x-ratelimit-limit-tokens", told.limit.to_string()));
            headers.push(("x-ratelimit-remaining-tokens", told.remaining.to_string()));
            headers.push(("x-ratelimit-reset-tokens", span(told.reset)));
        }
        headers
    }
}

/// A time as `OpenAI` writes it: `850ms`, `6s`, `1m30s`.
fn span(time: Duration) -> String {
    match time.as_millis() {
        0..1_000 => format!("{}ms", time.as_millis()),
        1_000..60_000 => format!("{:.3}s", time.as_secs_f64()).replace(".000s", "s"),
        _ => {
            let (minutes, seconds) = (time.as_secs() / 60, time.as_secs() % 60);
            if seconds == 0 { format!("{minutes}m") } else { format!("{minutes}m{seconds}s") }
        }
    }
}

/// Whether two rules limit the same things, so that one goes on where the other stands.
fn alike(a: &Rule, b: &Rule) -> bool {
    a.requests == b.requests && a.tokens == b.tokens && a.concurrency.is_some() == b.concurrency.is_some()
}

/// Whether a rule is for this caller.
pub(super) fn concerns(who: &Who, key: Option<&Key>, team: Option<&str>) -> bool {
    let is_key = |wanted: &String| key.is_some_and(|key| key.id == *wanted || key.name == *wanted);
    who.key.as_ref().is_none_or(is_key) && who.team.as_deref().is_none_or(|wanted| team == Some(wanted))
}

pub(super) fn not_allowed(model: &str) -> crate::Error {
    let model: String = model.chars().filter(|letter| !letter.is_control()).take(100).collect();
    denied(
        403,
        "model_not_allowed",
        None,
        format!("The model `{model}` may not be asked for with this key or by this caller."),
    )
}
