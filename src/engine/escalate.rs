//! An answer that shows a sign of failure: the next rung is asked.
//!
//! Both are paid for, and the first one is entered in the book as a call of its own. The last rung's answer is handed on
//! whatever it is, and so is one above which nobody answers. Of a stream nothing may have been given to the caller.

use tokio::time::Instant;

use super::ask::Ask;
use super::ending::Ending;
use super::plan::Plan;
use super::settle::Entry;
use super::tally::Escalated;
use super::walk::{first, visit};
use crate::error::Result;
use crate::ledger::Signs;

/// Asks the chosen model, and rungs above it as long as what is answered shows a sign that the policy names.
pub(super) async fn walk<A: Ask>(entry: &Entry, asker: &A) -> Result<(usize, A::Done)> {
    let (index, mut done) = first(entry, asker).await?;
    let plan = entry.plan();
    let escalates = plan.escalates();
    if escalates || plan.ledger.is_some() {
        asker.judge(entry, &mut done);
    }
    if escalates {
        return Ok(Box::pin(climb(entry, asker, index, done)).await);
    }
    Ok((index, done))
}

async fn climb<A: Ask>(entry: &Entry, asker: &A, mut index: usize, mut done: A::Done) -> (usize, A::Done) {
    let (plan, tally) = (entry.plan(), entry.tally());
    let deadline = plan.policy.deadline.map(|limit| tally.start() + limit);
    let mut next = plan.above(index);
    let mut since = tally.start();
    if A::STREAM && plan.policy.escalate_on.judge.is_some() {
        tally.note("`escalate_on` is a callable, which is asked about whole answers only".to_owned());
    }
    while next < plan.endpoints.len()
        && let Some(why) = wanted::<A>(entry, &done)
    {
        let name = &plan.endpoints[index].name;
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            tally.note(format!("`{name}` {why}, and there was no time left to ask another"));
            break;
        }
        let ending = Ending { endpoint: index, ..A::ending(&done) };
        tally.escalated(Escalated { ending, since, took: since.elapsed() });
        since = Instant::now();
        let mut above = None;
        while above.is_none() && next < plan.endpoints.len() {
            // If it fails there is an answer all the same, so nobody waits long for it.
            match visit(entry, asker, next, deadline, true).await {
                Ok(done) => above = Some((next, done)),
                Err(error) => {
                    let rung = &plan.endpoints[next].name;
                    tally.note(format!("`{name}` {why}: `{rung}` was asked in vain: {}", error.message()));
                }
            }
            next += 1;
        }
        let Some((at, answered)) = above else {
            tally.stands();
            break;
        };
        tally.note(format!("`{name}` {why}: `{}` was asked", plan.endpoints[at].name));
        (index, done) = (at, answered);
        asker.judge(entry, &mut done);
    }
    (index, done)
}

/// What an answer has done for which the next rung is to be asked.
fn wanted<A: Ask>(entry: &Entry, done: &A::Done) -> Option<&'static str> {
    let on = &entry.plan().policy.escalate_on;
    let shown = A::ending(done).verdict.signs.unwrap_or_default().among(on.signs);
    if !shown.is_none() {
        return Some(said(shown));
    }
    let (judge, answer) = (on.judge.as_ref()?, A::answer(done)?);
    match (judge.0)(answer) {
        Ok(failed) => failed.then_some("gave an answer that `escalate_on` does not take"),
        Err(why) => {
            entry.tally().note(format!("`escalate_on` gave no verdict, which counts as no: {why}"));
            None
        }
    }
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
    /// Whether an answer may lead to another rung.
    pub(super) fn escalates(&self) -> bool {
        let on = &self.policy.escalate_on;
        !self.climb.is_empty() && (!on.signs.is_none() || on.judge.is_some())
    }

    /// How many endpoints belong to the chosen model: its own and its fallbacks.
    pub(super) fn base(&self) -> usize {
        self.endpoints.len().saturating_sub(self.climb.len())
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
