//! Which rung answers, once it is decided which should: models that are allowed, limits of models, share caps.
//!
//! The budget is asked between two steps of this, and may have to wait for a database. So nothing is locked meanwhile: what might
//! be needed is entered in the share caps' rings at once, and given back where it was not.

use std::sync::{Arc, Mutex, PoisonError};

use super::allowed;
use super::gate::{Gate, Taken, denied};
use super::key::Caller;
use super::policies::{Cap, Pass, Policies, concerns, not_allowed};
use super::rate::now;
use super::rules::AtLimit;
use super::rung::Rung;
use super::share::{Capped, Ring};
use crate::error::{Error, Result};

/// The rungs that remain for a request. [`next`](Self::next) gives them one by one, the chosen one first, then those below it;
/// who takes one says [`accept`](Self::accept). Dropped without it, the request went nowhere.
#[derive(Debug)]
pub struct Choice<'a> {
    policies: &'a Policies,
    caller: &'a Caller,
    rungs: &'a [Rung<'a>],
    /// The rung that was decided for.
    chosen: usize,
    /// The first one that is allowed.
    first: usize,
    /// The next one to be tried.
    at: Option<usize>,
    entries: Vec<Entry<'a>>,
    /// What the rung that was given last holds.
    held: Taken,
    gates: Vec<Arc<Gate>>,
    given: Option<usize>,
    guess: f64,
    /// Why the best rung is not to be had.
    why: Option<Error>,
}

/// A decision in the ring of one cap.
#[derive(Debug)]
struct Entry<'a> {
    cap: &'a Cap,
    decision: u64,
    /// The first choice is the capped model.
    wanted: bool,
    verdict: std::result::Result<(), Capped>,
}

impl Policies {
    /// Among which rungs a decision may be moved, beginning with `chosen`. Every request asks this once, one for a model by name
    /// with that model as its only rung: what share caps count are decisions.
    ///
    /// # Errors
    /// 403 `model_not_allowed` where no rung is open that the caller may ask.
    pub fn choose<'a>(
        &'a self,
        caller: &'a Caller,
        rungs: &'a [Rung<'a>],
        chosen: usize,
        win_rate: Option<f64>,
    ) -> Result<Choice<'a>> {
        Choice::begin(self, caller, rungs, chosen, win_rate)
    }
}

impl<'a> Choice<'a> {
    pub(super) fn begin(
        policies: &'a Policies,
        caller: &'a Caller,
        rungs: &'a [Rung<'a>],
        chosen: usize,
        win_rate: Option<f64>,
    ) -> Result<Self> {
        let mut choice = Self {
            policies,
            caller,
            rungs,
            chosen,
            first: chosen,
            at: None,
            entries: Vec::new(),
            held: Taken::default(),
            gates: Vec::new(),
            given: None,
            guess: 0.0,
            why: None,
        };
        if policies.gates_of(caller).next().is_none() {
            choice.at = Some(chosen);
            return Ok(choice);
        }
        choice.first = choice.nearest().ok_or_else(|| not_allowed(rungs.get(chosen).map_or("", |rung| rung.model)))?;
        choice.at = Some(choice.first);
        choice.enter_rings(win_rate);
        Ok(choice)
    }

    /// The chosen rung, or the nearest that is allowed: of two equally near the cheaper.
    fn nearest(&self) -> Option<usize> {
        let distance = |at: usize| (at.abs_diff(self.chosen), at > self.chosen);
        let may = |at: &usize| *at == self.chosen || self.rungs[*at].open;
        (0..self.rungs.len()).filter(may).filter(|at| self.is_allowed(*at)).min_by_key(|at| distance(*at))
    }

    fn is_allowed(&self, at: usize) -> bool {
        // A model by its own name was allowed by the name it was asked for.
        let lists = self.policies.gates_of(self.caller).filter_map(|gate| gate.rule.models.as_ref());
        lists.into_iter().all(|list| allowed::answers(list, &self.rungs[at], self.rungs))
    }

    fn enter_rings(&mut self, win_rate: Option<f64>) {
        let (key, team) = (self.caller.key.as_deref(), self.caller.team());
        for cap in self.policies.caps.iter().filter(|cap| concerns(&cap.who, key, team)) {
            let wanted = cap.is_of(&self.rungs[self.first]);
            // A rung below may be the capped one, and is asked if the first is not to be had.
            let perhaps = self.rungs[..self.first].iter().any(|rung| rung.open && cap.is_of(rung));
            let mut ring = locked(&cap.ring);
            let verdict = if wanted || perhaps { ring.verdict(cap.allowance, win_rate) } else { Ok(()) };
            let passed = (wanted || perhaps) && verdict.is_ok();
            let decision = ring.enter(cap.allowance, wanted || perhaps, win_rate, passed);
            drop(ring);
            self.entries.push(Entry { cap, decision, wanted, verdict });
        }
    }

    /// The next rung that is within its limits. What the one before held is given back.
    ///
    /// # Errors
    /// [`Kind::Denied`](crate::Kind::Denied), where none is left or a rule refuses: why the best one was not to be had.
    #[expect(clippy::should_implement_trait, reason = "it fails with a reason")]
    pub fn next(&mut self) -> Result<usize> {
        self.held = Taken::default();
        self.gates.clear();
        self.given = None;
        while let Some(at) = self.at {
            self.at = (0..at).rev().find(|below| self.rungs[*below].open && self.is_allowed(*below));
            match self.try_rung(at) {
                Ok(()) => {
                    self.given = Some(at);
                    return Ok(at);
                }
                Err((error, at_limit)) => {
                    // One of its limits may have let it pass before another did not.
                    self.held = Taken::default();
                    self.gates.clear();
                    self.refused(error, at_limit)?;
                }
            }
        }
        Err(self.why.clone().unwrap_or_else(|| not_allowed("")))
    }

    /// The rung that was given last is refused by somebody else, who says what is to happen then.
    ///
    /// # Errors
    /// `error` itself, where no other rung is to be tried.
    pub fn refused(&mut self, error: Error, at_limit: AtLimit) -> Result<()> {
        let first = self.why.get_or_insert(error);
        if at_limit == AtLimit::Refuse { Err(first.clone()) } else { Ok(()) }
    }

    fn try_rung(&mut self, at: usize) -> std::result::Result<(), (Error, AtLimit)> {
        let rung = &self.rungs[at];
        for entry in self.entries.iter().filter(|entry| entry.cap.is_of(rung)) {
            entry.verdict.map_err(|capped| (entry.cap.error(capped), entry.cap.at_limit))?;
        }
        let now = now();
        for gate in self.policies.gates_of(self.caller).filter(|gate| gate.counts()) {
            if gate.rule.who.model.as_deref().is_some_and(|model| rung.is(model)) {
                gate.enter(&mut self.held, now, self.guess).map_err(|error| (error, gate.rule.at_limit))?;
                self.gates.push(Arc::clone(gate));
            }
        }
        Ok(())
    }

    /// What the body's length says of its tokens, for limits of models; said before the first [`next`](Self::next).
    #[must_use]
    pub fn for_pass(mut self, pass: &Pass) -> Self {
        self.guess = pass.guess;
        self
    }

    /// The rung that was given last is taken: `pass` holds from now on what it holds. Gives a note where it is not the rung that was
    /// decided for.
    pub fn accept(mut self, pass: &mut Pass) -> Option<String> {
        pass.taken.keep(std::mem::take(&mut self.held));
        pass.gates.append(&mut self.gates);
        let taken = self.given?;
        for entry in self.entries.drain(..) {
            if !entry.cap.is_of(&self.rungs[taken]) {
                locked(&entry.cap.ring).take_back(entry.decision, entry.wanted);
            }
        }
        if taken == self.chosen {
            return None;
        }
        let chosen = self.rungs[self.chosen].model;
        let why = self.why.as_ref().map_or("it is not allowed", |error| error.message());
        Some(format!("not answered by `{chosen}`: {why}"))
    }
}

impl Drop for Choice<'_> {
    fn drop(&mut self) {
        for entry in self.entries.drain(..) {
            locked(&entry.cap.ring).take_back(entry.decision, entry.wanted);
        }
    }
}

impl Cap {
    fn error(&self, capped: Capped) -> Error {
        let part = format!("{}%", (self.share.most * 1e6).round() / 1e4);
        let why = match capped {
            Capped::Spent => "which the last 1,000 decisions have used up",
            Capped::Kept => "which is kept for requests that gain more by it",
        };
        let text = format!("The model `{}` has a share of {part} of all decisions, {why}.", self.share.model);
        denied(429, "share_cap_reached", None, text)
    }
}

fn locked(ring: &Mutex<Ring>) -> std::sync::MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}
