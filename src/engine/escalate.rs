//! An answer that shows a sign of failure: the next rung is asked.
//!
//! Both are paid for, and the first one is entered in the book as a call of its own. The last rung's answer is handed on
//! whatever it is, and so is one above which nobody answers. Of a stream nothing may have been given to the caller.
//!
//! A caller's own judgement is asked for on a thread of its own, outside the runtime: it may take its time, and may make
//! blocking calls itself. Should the caller leave meanwhile, the answer is his all the same.

use std::thread;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::ask::Ask;
use super::ending::Ending;
use super::plan::{Judge, Plan, Unsaid};
use super::settle::Entry;
use super::walk::{first, visit};
use crate::error::Result;
use crate::ledger::Signs;
use crate::providers::Answer;

/// Asks the chosen model, and rungs above it as long as what is answered shows a sign that the policy names.
pub(super) async fn walk<A: Ask>(entry: &Entry, asker: &A) -> Result<(usize, A::Done)> {
    let (index, mut done) = first(entry, asker).await?;
    let plan = entry.plan();
    let escalates = plan.escalates();
    if escalates || plan.ledger.is_some() {
        asker.judge(entry, &mut done);
    }
    if escalates {
        return Box::pin(climb(entry, asker, index, done)).await;
    }
    Ok((index, done))
}

async fn climb<A: Ask>(entry: &Entry, asker: &A, mut index: usize, mut done: A::Done) -> Result<(usize, A::Done)> {
    let (plan, tally) = (entry.plan(), entry.tally());
    let deadline = plan.policy.deadline.map(|limit| tally.start() + limit);
    let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    let mut next = plan.above(index);
    let mut since = tally.start();
    let mut left_out = plan.climb.left_out.iter().peekable();
    if A::STREAM && plan.policy.escalate_on.judge.is_some() {
        tally.note("`escalate_on` is a callable, which is asked about whole answers only".to_owned());
    }
    while (next < plan.endpoints.len() || left_out.peek().is_some())
        && let Some(why) = wanted(entry, Answered::of::<A>(entry, index, &done), deadline).await?
    {
        let name = &plan.endpoints[index].name;
        left_out.by_ref().for_each(|note| tally.note(note.clone()));
        if next == plan.endpoints.len() {
            break;
        }
        let ending = Ending { endpoint: index, ..A::ending(&done) };
        tally.escalated(ending, since);
        let mut above = None;
        while above.is_none() && next < plan.endpoints.len() && !is_over() {
            since = Instant::now();
            // If it fails there is an answer all the same, so nobody waits long for it.
            match visit(entry, asker, next, deadline, true).await {
                Ok(done) => above = Some((next, done)),
                Err(error) => {
                    let rung = &plan.endpoints[next].name;
                    tally.note(format!("`{name}` {why}: `{rung}` was asked in vain: {}", error.message()));
                    tally.in_vain(next, error, since);
                }
            }
            next += 1;
        }
        let Some((at, answered)) = above else {
            if next < plan.endpoints.len() {
                tally.note(format!("`{name}` {why}, and there was no time left to ask another"));
            }
            tally.stands();
            break;
        };
        tally.note(format!("`{name}` {why}: `{}` was asked", plan.endpoints[at].name));
        (index, done) = (at, answered);
        asker.judge(entry, &mut done);
    }
    Ok((index, done))
}

/// An answer as far as it says whether another rung is asked.
struct Answered {
    ending: Ending,
    to_judge: Option<(Judge, Answer)>,
}

impl Answered {
    fn of<A: Ask>(entry: &Entry, index: usize, done: &A::Done) -> Self {
        let judge = entry.plan().policy.escalate_on.judge.as_ref();
        let to_judge = judge.and_then(|judge| Some((judge.clone(), A::answer(done)?.clone())));
        Self { ending: Ending { endpoint: index, ..A::ending(done) }, to_judge }
    }
}

/// What an answer has done for which the next rung is to be asked.
///
/// # Errors
/// What ends the call, as an interrupt of its caller's does.
async fn wanted(entry: &Entry, answered: Answered, deadline: Option<Instant>) -> Result<Option<&'static str>> {
    let tally = entry.tally();
    let shown = answered.ending.verdict.signs.unwrap_or_default().among(entry.plan().policy.escalate_on.signs);
    if !shown.is_none() {
        return Ok(Some(said(shown)));
    }
    let Some((judge, answer)) = answered.to_judge else { return Ok(None) };
    tally.hold(Some(answered.ending));
    match judged(judge, answer, deadline).await {
        Err(Unsaid::Stop(error)) => Err(error),
        Err(Unsaid::Unknown(why)) => {
            tally.note(format!("`escalate_on` gave no verdict, which counts as no: {why}"));
            tally.hold(None);
            Ok(None)
        }
        Ok(failed) => {
            tally.hold(None);
            Ok(failed.then_some("gave an answer that `escalate_on` does not take"))
        }
    }
}

/// What the caller says of an answer, if he says it in time.
async fn judged(judge: Judge, answer: Answer, deadline: Option<Instant>) -> Result<bool, Unsaid> {
    let unknown = |why: String| Err(Unsaid::Unknown(why));
    let (tell, told) = oneshot::channel();
    // Nobody may be left to hear it.
    let work = move || drop(tell.send((judge.0)(&answer)));
    if let Err(error) = thread::Builder::new().name("ferroute-judge".to_owned()).spawn(work) {
        return unknown(format!("no thread could be started for it: {error}"));
    }
    let told = match deadline {
        None => told.await,
        Some(deadline) => match timeout_at(deadline, told).await {
            Ok(told) => told,
            Err(_) => return unknown("there was no time left for it".to_owned()),
        },
    };
    told.unwrap_or_else(|_| unknown("it broke".to_owned()))
}

/// The first of some signs in words.
fn said(signs: Signs) -> &'static str {
    const WORDS: [(Signs, &str); 6] = [
        (Signs::EMPTY, "gave an empty answer"),
        (Signs::REFUSAL, "refused"),
        (Signs::INVALID_JSON, "gave no valid JSON"),
        (Signs::INVALID_SCHEMA, "gave JSON that does not follow the schema"),
        (Signs::BAD_TOOL_ARGUMENTS, "called a tool with bad arguments"),
        (Signs::TRUNCATED, "was cut at its longest length"),
    ];
    WORDS.iter().find(|(sign, _)| signs.has(*sign)).map_or("failed", |(_, words)| words)
}

impl Plan {
    /// Whether an answer may lead to another rung, or would if that could be asked.
    pub(super) fn escalates(&self) -> bool {
        let (on, climb) = (&self.policy.escalate_on, &self.climb);
        (!climb.rungs.is_empty() || !climb.left_out.is_empty()) && (!on.signs.is_none() || on.judge.is_some())
    }

    /// The signs somebody wants to know of: what is entered in a book is looked at from all sides.
    pub(super) fn looks(&self) -> Signs {
        if self.ledger.is_some() { Signs::ALL } else { self.policy.escalate_on.signs }
    }

    /// How many endpoints belong to the chosen model: its own and its fallbacks.
    pub(super) fn base(&self) -> usize {
        self.endpoints.len().saturating_sub(self.climb.rungs.len())
    }

    /// The rung an endpoint is on.
    pub(super) fn tier(&self, index: usize) -> Option<String> {
        let fallback = || index.checked_sub(1).and_then(|at| self.climb.fallbacks.get(at)).cloned().flatten();
        match index.checked_sub(self.base()) {
            Some(rung) => self.climb.rungs[rung].clone(),
            None => fallback().or_else(|| self.routed.tier.clone()),
        }
    }

    /// The first rung above an endpoint. A fallback that is one of the rungs itself is not asked again.
    pub(super) fn above(&self, index: usize) -> usize {
        if index >= self.base() {
            return index + 1;
        }
        let answered = &self.endpoints[index];
        let is_same = |at: &usize| {
            let rung = &self.endpoints[*at];
            rung.name == answered.name && rung.base == answered.base
        };
        (self.base()..self.endpoints.len()).find(is_same).map_or(self.base(), |at| at + 1)
    }
}
