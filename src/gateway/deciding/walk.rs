//! The routers' words: one is asked, perhaps leaves the choice to another, perhaps fails and something else is done.

use std::borrow::Cow;

use serde_json::Value;

use super::Deciding;
use super::grammar::Read;
use super::parts::{Loaded, Named, OnError};
use super::router::{Broken, Remarks, Said, Word};
use crate::engine::serving::{Call, Found};
use crate::error::{Error, Kind, Result};
use crate::routers::verdict::Verdict;
use crate::routing::model_name::{self, Rule, python_str};
use crate::routing::python_float::repr;
use crate::routing::{Choice, Ladder};
use crate::text::one_line::one_line;
use crate::text::view::View;

/// How much of an error's text a reason holds.
const TOLD: usize = 200;

/// Where the words led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// To a rung.
    Rung(usize),
    /// To a model beyond the ladder.
    Beyond(usize),
}

/// What the routers have said.
#[derive(Debug)]
pub(super) struct Spoken {
    pub(super) end: End,
    pub(super) reason: String,
    /// The router whose word counts: after a failure, the one that was asked instead.
    pub(super) router: String,
    pub(super) path: Vec<String>,
    pub(super) floor: Option<usize>,
    pub(super) ceiling: Option<usize>,
    pub(super) win_rate: Option<f64>,
    pub(super) rank: Option<f64>,
    pub(super) thresholds: Vec<f64>,
    pub(super) shares: Vec<f64>,
    pub(super) warmup: bool,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) failed: Option<String>,
}

impl Spoken {
    fn of(router: &str, end: End, reason: String) -> Self {
        Self {
            end,
            reason,
            router: router.to_owned(),
            path: Vec::new(),
            floor: None,
            ceiling: None,
            win_rate: None,
            rank: None,
            thresholds: Vec::new(),
            shares: Vec::new(),
            warmup: false,
            verdicts: Vec::new(),
            failed: None,
        }
    }

    /// Says what it was asked with.
    fn given(mut self, rule: &Rule) -> Self {
        match rule {
            Rule::Threshold(cut) => self.thresholds = vec![*cut],
            Rule::Thresholds(cuts) => self.thresholds.clone_from(cuts),
            Rule::Share(share) => self.shares = vec![*share],
            Rule::Shares(shares) => self.shares.clone_from(shares),
            Rule::Open => {}
        }
        self
    }
}

/// A router that has left the choice to the next one.
struct Left {
    router: String,
    why: String,
    floor: Option<usize>,
    ceiling: Option<usize>,
    verdict: Verdict,
}

/// What a verdict comes to.
enum Came {
    To(Box<Spoken>),
    /// Another router is asked.
    Asks(String),
}

/// One request on its way through the routers.
pub(super) struct Walk<'a> {
    pub(super) deciding: &'a Deciding,
    pub(super) view: &'a View,
    pub(super) remarks: &'a Remarks,
    /// What the filters have against the rungs.
    pub(super) found: Option<Found>,
    pub(super) call: Call,
    /// The router that has failed first, and how.
    pub(super) failed: Option<String>,
}

impl Walk<'_> {
    fn ladder(&self) -> &Ladder {
        &self.deciding.parts.ladder
    }

    /// Where the routers' words lead.
    pub(super) async fn spoken(mut self, asked: Read) -> Result<(Spoken, Option<Found>, Call)> {
        let Read { mut router, mut rule, .. } = asked;
        let mut left: Vec<Left> = Vec::new();
        let mut spoken = loop {
            let deciding = self.deciding;
            let loaded = &deciding.parts.routers[router];
            match self.word(loaded).await {
                Ok(Word::WinRate(rate)) => break self.placed(loaded, rate, &rule)?,
                Ok(Word::Verdict(verdict)) => {
                    self.remarks.extend(verdict.notes.iter().map(|note| one_line(note).into_owned()));
                    let (floor, ceiling) = (self.place(verdict.floor.as_ref())?, self.place(verdict.ceiling.as_ref())?);
                    match self.named(loaded, &verdict, floor, ceiling)? {
                        Came::To(spoken) => break Spoken { floor, ceiling, verdicts: vec![*verdict], ..*spoken },
                        Came::Asks(ask) => {
                            let why = one_line(&verdict.reason).into_owned();
                            left.push(Left { router: loaded.name.clone(), why, floor, ceiling, verdict: *verdict });
                            (router, rule) = self.other(&loaded.name, &ask, rule, &left)?;
                        }
                    }
                }
                Err(error) if error.kind() == Kind::Routing => return Err(error),
                Err(error) => match self.instead(&error, router, &rule)? {
                    Instead::Ends(spoken) => break *spoken,
                    Instead::Asks(other, with) => (router, rule) = (other, with),
                },
            }
        };
        if !left.is_empty() {
            spoken.path.push(spoken.router.clone());
        }
        for from in left.into_iter().rev() {
            spoken = joined(spoken, from);
        }
        spoken.failed = self.failed;
        Ok((spoken, self.found, self.call))
    }

    async fn word(&self, loaded: &Loaded) -> Result<Word> {
        if let Some(found) = &self.found
            && !loaded.names_models
            && found.barred.reasons.iter().all(Option::is_some)
        {
            // Nobody is paid for a word on a request that no rung can serve.
            self.ladder().settle(0, None, None, &found.barred.reasons)?;
        }
        let Some(router) = &loaded.router else {
            return Err(Error::new(Kind::Unsupported, format!("the router {:?} is not of the core", loaded.name)));
        };
        match router.word(self.view, self.remarks) {
            Said::Now(word) => word,
            Said::Later(word) => word.await,
        }
    }

    /// Where a win rate leads.
    fn placed(&self, loaded: &Loaded, win_rate: f64, rule: &Rule) -> Result<Spoken> {
        let ladder = self.ladder();
        let lock = || loaded.window.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = |Choice { index, reason }| Spoken::of(&loaded.name, End::Rung(index), reason);
        let spoken = match rule {
            Rule::Threshold(_) | Rule::Thresholds(_) => {
                let cuts = match rule {
                    Rule::Thresholds(cuts) => cuts,
                    Rule::Threshold(cut) => std::slice::from_ref(cut),
                    _ => &[],
                };
                let spoken = at(ladder.by_thresholds(win_rate, cuts)).given(rule);
                lock().push(win_rate);
                spoken
            }
            Rule::Share(_) | Rule::Shares(_) => {
                let shares = match rule {
                    Rule::Shares(shares) => shares,
                    Rule::Share(share) => std::slice::from_ref(share),
                    _ => &[],
                };
                if let Some(spoken) = self.fixed(loaded, win_rate, shares)? {
                    spoken.given(rule)
                } else {
                    let mut window = lock();
                    let rank = window.rank_of(win_rate, self.view.text());
                    let spoken = at(ladder.by_shares(&window, win_rate, rank, shares)).given(rule);
                    let warmup = window.warmup();
                    window.push(win_rate);
                    Spoken { rank: Some(rank), warmup, ..spoken }
                }
            }
            Rule::Open => return Err(Error::new(Kind::Routing, "Router or threshold unspecified.")),
        };
        if !(0.0..=1.0).contains(&win_rate) {
            self.remarks.extend([format!("the router's win rate {} is not in 0..1", repr(win_rate))]);
        }
        Ok(Spoken { win_rate: Some(win_rate), ..spoken })
    }

    /// Where a calibration has thresholds for these shares; all and nothing need none.
    fn fixed(&self, loaded: &Loaded, win_rate: f64, shares: &[f64]) -> Result<Option<Spoken>> {
        let Some(table) = &loaded.table else { return Ok(None) };
        let within = |share: &f64| *share > 0.0 && *share < 1.0;
        let found = shares.iter().map(|share| within(share).then(|| table.fixed(*share)).transpose());
        let found = found.collect::<Result<Vec<_>>>()?;
        let Some(n) = found.iter().flatten().map(|fixed| fixed.n).next() else { return Ok(None) };
        let ends = shares.iter().map(|share| if *share <= 0.0 { f64::INFINITY } else { f64::NEG_INFINITY });
        let cuts: Vec<f64> =
            found.iter().zip(ends).map(|(found, end)| found.as_ref().map_or(end, |fixed| fixed.threshold)).collect();
        let Choice { index, reason } = self.ladder().by_thresholds(win_rate, &cuts);
        let (s, asked) = match shares {
            [share] => ("", model_name::percent(*share)),
            shares => ("s", model_name::percents(shares)),
        };
        let reason = format!("{reason}; the threshold{s} for {asked} of {} calibration prompts", with_commas(n));
        self.remarks.extend(found.into_iter().flatten().filter_map(|fixed| fixed.note));
        Ok(Some(Spoken { thresholds: cuts, ..Spoken::of(&loaded.name, End::Rung(index), reason) }))
    }

    fn place(&self, name: Option<&String>) -> Result<Option<usize>> {
        name.map(|name| self.ladder().find(name)).transpose()
    }

    /// Where a verdict leads.
    fn named(&self, loaded: &Loaded, verdict: &Verdict, floor: Option<usize>, ceiling: Option<usize>) -> Result<Came> {
        let name = &loaded.name;
        let why = match one_line(&verdict.reason) {
            said if said.is_empty() => format!("{name} chose it"),
            said => said.into_owned(),
        };
        let on_rung = |rung: usize| {
            Came::To(Box::new(Spoken::of(name, End::Rung(rung), format!("{why}: {}", self.ladder().side(rung)))))
        };
        if let Some(model) = &verdict.model {
            return match loaded.models.iter().find(|(known, _)| known == model) {
                Some((_, Named::Rung(rung))) => Ok(on_rung(*rung)),
                Some((_, Named::Beyond(at))) => {
                    Ok(Came::To(Box::new(Spoken::of(name, End::Beyond(*at), format!("{why}: {}", one_line(model))))))
                }
                None => Err(Error::new(Kind::Foreign, format!("router {name} names {model:?}, which it has not told"))),
            };
        }
        if let Some(rung) = &verdict.rung {
            return Ok(on_rung(self.ladder().find(rung)?));
        }
        match (&verdict.ask, floor.or(ceiling)) {
            (Some(ask), _) => Ok(Came::Asks(ask.clone())),
            (None, Some(rung)) => Ok(on_rung(rung)),
            (None, None) => {
                let said = format!("Router {name} names neither a rung nor a model, nor a router to ask.");
                Err(Error::new(Kind::Routing, said))
            }
        }
    }

    /// The router that a verdict leaves the choice to, and what it is asked with.
    fn other(&self, name: &str, ask: &str, rule: Rule, left: &[Left]) -> Result<(usize, Rule)> {
        let (parts, grammar) = (&self.deciding.parts, &self.deciding.grammar);
        let trail = || left.iter().map(|left| left.router.as_str());
        let found = || {
            let bare = ask.strip_prefix("router-").unwrap_or(ask);
            // A name alone is enough where the caller says the rest.
            let (other, own) = if let Some(other) = [ask, bare].into_iter().find(|name| parts.place(name).is_some()) {
                (other.to_owned(), Rule::Open)
            } else {
                let asked = grammar.parse(ask, &parts.ladder)?;
                (asked.router, asked.rule)
            };
            let asked_of = if rule == Rule::Open { own } else { rule };
            if !trail().any(|name| name == other) {
                grammar.validate(&other, &asked_of, &parts.ladder)?;
            }
            Ok((other, asked_of))
        };
        let (other, asked_of) = found().map_err(|error: Error| {
            let said = format!(
                "Router {} leaves the choice to {}; expected a loaded router with its thresholds, such as \
                 'router-local-0.3,0.7'. {}",
                python_str(name),
                python_str(ask),
                error.message(),
            );
            Error::new(Kind::Routing, said)
        })?;
        if trail().any(|name| name == other) {
            let circle: Vec<&str> = trail().chain([other.as_str()]).collect();
            let said = format!("Routers ask each other in a circle: {}.", circle.join(" -> "));
            return Err(Error::new(Kind::Routing, said));
        }
        match parts.place(&other) {
            Some(at) => Ok((at, asked_of)),
            None => Err(Error::new(Kind::Routing, format!("Invalid router {other}."))),
        }
    }

    /// What is done where a router has failed: a rung, or another router's word.
    fn instead(&mut self, error: &Error, router: usize, rule: &Rule) -> Result<Instead> {
        let parts = &self.deciding.parts;
        let name = &parts.routers[router].name;
        let what = failure(name, error);
        if self.failed.is_some() {
            return Err(outward(name, error, what));
        }
        match &parts.manner.on_error {
            OnError::Raise => Err(outward(name, error, what)),
            OnError::Rung(rung) => {
                let reason = format!("{}, because {what}", parts.ladder.side(*rung));
                self.failed = Some(what);
                Ok(Instead::Ends(Box::new(Spoken::of(name, End::Rung(*rung), reason).given(rule))))
            }
            OnError::Router(other) => {
                let Some(at) = parts.place(other).filter(|at| *at != router) else {
                    return Err(outward(name, error, what));
                };
                self.remarks.first(format!("{what}, so {} was asked", python_str(other)));
                if *rule == Rule::Open && !self.deciding.grammar.names_rung(at) {
                    let said = format!(
                        "{what}, and {}, which is to be asked instead, needs a threshold: give one, or let \
                         on_router_error name a rung.",
                        python_str(other),
                    );
                    return Err(Error::new(Kind::Routing, said));
                }
                self.failed = Some(what);
                Ok(Instead::Asks(at, rule.clone()))
            }
        }
    }
}

enum Instead {
    Ends(Box<Spoken>),
    Asks(usize, Rule),
}

/// Puts the verdict that left the choice and the other router's word together: the tighter limits hold.
fn joined(spoken: Spoken, from: Left) -> Spoken {
    let Left { router, why, floor, ceiling, verdict } = from;
    let why = if why.is_empty() { format!("{router} leaves it to {}", spoken.router) } else { why };
    let reason = format!("{why}; {}: {}", spoken.router, spoken.reason);
    let tighter = |of: fn(usize, usize) -> usize, a: Option<usize>, b: Option<usize>| match (a, b) {
        (Some(a), Some(b)) => Some(of(a, b)),
        (a, b) => a.or(b),
    };
    let (mut path, mut verdicts) = (spoken.path, spoken.verdicts);
    path.insert(0, router.clone());
    verdicts.insert(0, verdict);
    Spoken {
        reason,
        router,
        path,
        verdicts,
        floor: tighter(usize::max, floor, spoken.floor),
        ceiling: tighter(usize::min, ceiling, spoken.ceiling),
        ..spoken
    }
}

/// That a router has failed, in the Controller's words.
fn failure(name: &str, error: &Error) -> String {
    let told: String = said(error).chars().take(TOLD).collect();
    format!("router {} failed ({}: {})", python_str(name), class(error), one_line(&told))
}

/// What Python's exception of an error says: of an error status, that and the provider's own words.
fn said(error: &Error) -> Cow<'_, str> {
    let (Kind::Status, Some(answer)) = (error.kind(), error.answer()) else { return error.message().into() };
    let code = format!("Error code: {}", answer.status);
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        let broken = answer.body.trim_ascii_start().first().is_some_and(|first| b"{[".contains(first));
        return if broken { error.message().into() } else { code.into() };
    };
    let told = body.get("error").unwrap_or(&body).get("message").and_then(Value::as_str);
    match told.filter(|told| !told.is_empty()) {
        Some(told) => format!("{code} - {}", one_line(told)).into(),
        None => code.into(),
    }
}

/// The name of the Python class of an error, which callers know it by.
fn class(error: &Error) -> &'static str {
    match error.kind() {
        Kind::Value => "InvalidValueError",
        Kind::Type => "InvalidTypeError",
        Kind::Name => "UnknownNameError",
        Kind::Missing => "MissingFileError",
        Kind::Io => "UnreadableFileError",
        Kind::Checkpoint => "CheckpointError",
        Kind::Denied => "DeniedError",
        Kind::Unsupported => "NotBuiltError",
        Kind::Routing => "RoutingError",
        Kind::Foreign => "RuntimeError",
        Kind::Timeout => "APITimeoutError",
        Kind::Connection | Kind::Cancelled => "APIConnectionError",
        Kind::Protocol => "APIResponseValidationError",
        Kind::Status => match error.answer().map_or(0, |answer| answer.status) {
            400 => "BadRequestError",
            401 => "AuthenticationError",
            403 => "PermissionDeniedError",
            404 => "NotFoundError",
            409 => "ConflictError",
            422 => "UnprocessableEntityError",
            429 => "RateLimitError",
            500.. => "InternalServerError",
            _ => "APIStatusError",
        },
    }
}

/// A router's failure as the caller of the gateway is told it. What an embedder or a classifier answers to our key is none of
/// his: a 401 of theirs must not look like one of ours.
fn outward(name: &str, error: &Error, what: String) -> Error {
    let kind = match error.kind() {
        kind @ (Kind::Connection | Kind::Timeout | Kind::Protocol | Kind::Cancelled) => kind,
        Kind::Status => Kind::Protocol,
        _ => Kind::Foreign,
    };
    Error::new(kind, what).with_raised(Broken { router: name.to_owned(), class: class(error).to_owned() })
}

/// A number with a comma before each three digits.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
