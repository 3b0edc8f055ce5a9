//! A ramp: how much of the traffic may be weak, decided from audited requests alone, by itself, for ever.
//!
//! An audited request has both models' scores, so its loss (strong - weak where the win rate is below the threshold, else 0)
//! is known at every stage, whichever model answered. From these the ramp
//!
//! - **grows** to the next stage when the claim "the mean loss there is at least the bound" is refuted: stages in order, all
//!   at the level 1 - confidence, since an error needs the first bad stage to be passed;
//! - **reverts** when the claim "the mean loss where it stands is at most the bound" is refuted, in whatever moment that
//!   began: to the highest stage that the audits since then support, else to always strong, and proves its way again
//!   with audits since then only;
//! - **pauses** (always strong for a while) when the loss since the beginning, of the audits as they were routed, may have
//!   used up what the bound allows. This needs no assumption: with the stated confidence the mean loss of the audited requests, over `horizon` of them
//!   or more, is never above the bound, whatever the world does;
//! - notices that win rates come from **other traffic** than before, and proves anew what it holds.
//!
//! Audits must be drawn by lot, with one chance for all requests of a time. Nothing here knows a clock, a file or a lot.

pub mod journal;
pub mod kept;
pub mod moves;
pub mod plan;

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::learn::drift::Drift;
use crate::math::betting::change::Change;
use crate::math::betting::total::Total;
use crate::math::betting::{Claim, Wager};
use moves::{Kind, Move, grouped, odds, rounded, share};
use plan::Plan;

/// Audits that are remembered one by one, to judge lower stages by when one stops being good.
const REMEMBERED: usize = 2_048;

/// The last audits must not look worse than the bound at a stage that is entered.
const RECENT: usize = 200;

/// Audits worth of bound that have to be free before a pause ends, so that it does not end for a moment.
const REST: f64 = 100.0;

/// The part of the level that is for the first proofs; the rest is for those after a revert or a drift.
const FIRST: f64 = 0.8;

/// The part of a proof's money that is bet from the beginning on; the rest finds a model that has become better.
const AT_ONCE: f64 = 0.8;

/// What is lost in audited requests before a change for the worse is noticed, with some to spare.
const NOTICED: f64 = 80.0;

/// The part of what the bound has allowed so far that counts as left at least.
const SPARE: f64 = 0.05;

/// Audits without a move after which a stage is tried less and less hard.
const TRIED: u64 = 2_000;

/// How far win rates may be outside of 0..=1.
const ROUNDING: f64 = 1e-6;

/// Audits without a move after which it holds.
const STILL: u64 = 5_000;

/// One audited request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Audit {
    /// The router's score, 0..=1.
    pub win_rate: f64,
    /// Quality of the strong model's answer, 0..=1.
    pub strong: f64,
    /// Quality of the weak model's answer, 0..=1.
    pub weak: f64,
}

impl Audit {
    /// Checks the numbers.
    pub fn new(win_rate: f64, strong: f64, weak: f64) -> Result<Self> {
        if !(-ROUNDING..=1.0 + ROUNDING).contains(&win_rate) {
            return Err(Error::value(format!("win_rate: expected a number between 0 and 1, found {win_rate}")));
        }
        for (name, score) in [("strong_score", strong), ("weak_score", weak)] {
            if !(0.0..=1.0).contains(&score) {
                return Err(Error::value(format!("{name}: expected a number between 0 and 1, found {score}")));
            }
        }
        Ok(Self { win_rate, strong, weak })
    }

    fn loss(self, threshold: f64) -> f64 {
        if self.win_rate < threshold { self.strong - self.weak } else { 0.0 }
    }
}

/// What is known of a stage.
#[derive(Debug, Clone)]
struct Proof {
    bet: Change,
    losses: f64,
}

/// The state of a ramp.
#[derive(Debug, Clone)]
pub struct Ramp {
    plan: Plan,
    /// The stage it stands at; in force unless it is paused.
    at: usize,
    /// The highest stage that is proven, with all below it.
    proven: usize,
    paused: bool,
    /// Reverts and drifts so far: each starts the proofs anew.
    epoch: u32,
    /// The last revert, until it has grown again.
    reverted: Option<Move>,
    /// Of the stages from 1 on.
    proofs: Vec<Proof>,
    /// Against "the loss where it stands is at most the bound".
    watch: Change,
    /// The loss that was in force.
    budget: Total,
    drift: Drift,
    /// Requests that the audits stand for, and what those lost, by the chance that each audit had.
    stood_for: (f64, f64),
    memory: VecDeque<Audit>,
    n: u64,
    /// Audits since the proofs began, and since the last move.
    tested: u64,
    still: u64,
}

impl Ramp {
    /// At its first stage, with nothing seen.
    pub fn new(plan: Plan) -> Result<Self> {
        plan.check()?;
        let mut ramp = Self {
            at: plan.start,
            proven: if plan.certified { plan.start } else { 0 },
            paused: false,
            epoch: 0,
            reverted: None,
            proofs: Vec::new(),
            watch: watch(&plan)?,
            budget: Total::default(),
            drift: Drift::new(&plan.reference),
            stood_for: (0.0, 0.0),
            memory: VecDeque::with_capacity(RECENT),
            n: 0,
            tested: 0,
            still: 0,
            plan,
        };
        ramp.begin()?;
        Ok(ramp)
    }

    /// Begins the proofs.
    fn begin(&mut self) -> Result<()> {
        let bet = Change::new(Claim::AtLeast, self.plan.max_quality_loss, -1.0, 1.0, AT_ONCE)?;
        self.proofs = vec![Proof { bet, losses: 0.0 }; self.plan.top()];
        self.tested = 0;
        Ok(())
    }

    /// Takes in one audit, which had this chance of being drawn and was routed by this threshold (`None`: by the one in
    /// force, which is not so where the judgement came late); moves nothing.
    pub fn see(&mut self, audit: Audit, probability: f64, routed_by: Option<f64>) -> Result<()> {
        let regret = self.plan.regret;
        let audit = if regret { Audit { weak: audit.weak.min(audit.strong), ..audit } } else { audit };
        for (proof, stage) in self.proofs.iter_mut().zip(&self.plan.stages[1..]) {
            let loss = audit.loss(stage.threshold);
            proof.bet.push(loss)?;
            proof.losses += loss;
        }
        if self.at > 0 {
            self.watch.push(audit.loss(self.plan.stages[self.at].threshold))?;
        }
        let routed_by = routed_by.unwrap_or_else(|| self.plan.stages[self.in_force()].threshold);
        let lost = if routed_by <= 0.0 {
            self.budget.rest();
            0.0
        } else {
            let loss = audit.loss(routed_by);
            self.budget.push(loss);
            loss
        };
        self.stood_for.0 += 1.0 / probability;
        self.stood_for.1 += lost / probability;
        self.drift.push(audit.win_rate);
        if self.memory.len() == REMEMBERED {
            self.memory.pop_front();
        }
        self.memory.push_back(audit);
        self.n += 1;
        self.tested += 1;
        self.still += 1;
        let level = self.level(self.epoch);
        while self.proven < self.plan.top() && self.supports(self.proven + 1, level) {
            self.proven += 1;
        }
        Ok(())
    }

    /// The move that what was seen calls for; more may follow it.
    pub fn decide(&self) -> Result<Option<Move>> {
        let delta = self.plan.delta();
        if self.at > 0 && self.watch.refutes(delta) {
            return self.reverting().map(Some);
        }
        if self.drift.log_e() >= -delta.ln() {
            return Ok(Some(self.drifting()));
        }
        if self.paused {
            let free = self.has_room(REST * self.plan.max_quality_loss);
            let why = format!("the mean loss of the audited requests is certainly below {} again", self.bound());
            return Ok(free.then(|| self.moved(Kind::Resumed, self.at, 0.0, why)));
        }
        if self.at > 0 && !self.has_room(0.0) {
            let over = self.n.max(self.plan.horizon);
            let why = format!(
                "the loss since the beginning may have used up what {} allows over {} audited requests (observed: a mean of {} over {})",
                self.bound(),
                grouped(over),
                rounded(self.budget.sum() / self.n.max(1) as f64),
                grouped(self.n),
            );
            return Ok(Some(self.moved(Kind::Paused, self.at, 0.0, why)));
        }
        Ok((self.proven > self.at).then(|| self.growing()))
    }

    /// Makes a move: one just decided, or one that was written down.
    pub fn go(&mut self, one: &Move) -> Result<()> {
        if one.to > self.plan.top() {
            return Err(Error::value(format!("expected a stage of 0..={}, found {}", self.plan.top(), one.to)));
        }
        self.still = 0;
        match one.kind {
            Kind::Grew => {
                self.reverted = None;
                // Those who read a file may have the audits in another order than who wrote it.
                self.proven = self.proven.max(one.to);
            }
            Kind::Paused => self.paused = true,
            Kind::Resumed => self.paused = false,
            Kind::Reverted | Kind::Drifted => {
                self.epoch += 1;
                self.begin()?;
                if one.kind == Kind::Drifted {
                    // The traffic from here on is what the next is compared with.
                    self.drift = Drift::new(&[]);
                }
                if one.to < one.from || one.kind == Kind::Reverted {
                    self.watch = watch(&self.plan)?;
                    self.reverted = Some(one.clone());
                    self.paused &= one.to > 0;
                }
                self.proven = one.to;
            }
        }
        self.at = one.to;
        Ok(())
    }

    /// Whether a stage is proven at a level, and does not look bad of late.
    fn supports(&self, stage: usize, level: f64) -> bool {
        self.proofs[stage - 1].bet.refutes(level)
            && mean_loss(self.memory.iter().rev().take(RECENT), self.plan.stages[stage].threshold)
                <= self.plan.max_quality_loss
    }

    /// What a proof may fail with, in an epoch: all of them together come to 1 - confidence.
    fn level(&self, epoch: u32) -> f64 {
        let delta = self.plan.delta();
        let later = f64::from(epoch) * f64::from(epoch + 1);
        if epoch == 0 { FIRST * delta } else { (1.0 - FIRST) * delta / later }
    }

    /// Whether the running loss stays within the bound if the next request is lost, and so much more.
    fn has_room(&self, more: f64) -> bool {
        let allowed = self.plan.max_quality_loss * (self.n + 1).max(self.plan.horizon) as f64;
        self.budget.is_below(allowed - 1.0 - more, self.plan.delta())
    }

    fn growing(&self) -> Move {
        let (stage, proof) = (self.plan.stages[self.proven], &self.proofs[self.proven - 1]);
        let log_e = proof.bet.log_e();
        let why = format!(
            "the evidence is {} that the loss at {} is below {} (observed: {} over {} audited requests)",
            odds(log_e),
            share(stage),
            self.bound(),
            rounded(proof.losses / self.tested.max(1) as f64),
            grouped(self.tested),
        );
        self.moved(Kind::Grew, self.proven, log_e.exp(), why)
    }

    fn reverting(&self) -> Result<Move> {
        let since = (self.watch.n() - self.watch.since()) as usize;
        let known = since.min(self.memory.len());
        // The start was picked because the audits after it look bad, which works against what is to be supported here.
        let level = self.level(self.epoch + 1);
        let mut to = 0;
        for stage in 1..self.at {
            let threshold = self.plan.stages[stage].threshold;
            let mut bet = Wager::new(Claim::AtLeast, self.plan.max_quality_loss, -1.0, 1.0)?;
            for audit in self.memory.iter().rev().take(known) {
                bet.push(audit.loss(threshold))?;
            }
            if bet.log_e() < -level.ln() {
                break;
            }
            to = stage;
        }
        let log_e = self.watch.log_e();
        let observed = mean_loss(self.memory.iter().rev().take(known), self.plan.stages[self.at].threshold);
        let left = if to == 0 {
            "no lower share is supported by them yet".to_owned()
        } else {
            format!("{} is still supported by them", share(self.plan.stages[to]))
        };
        let why = format!(
            "the evidence is {} that the loss at {} is above {} (observed: {} over the {} audited requests since it seems to \
             have begun); {left}",
            odds(log_e),
            share(self.plan.stages[self.at]),
            self.bound(),
            rounded(observed),
            grouped(since as u64),
        );
        Ok(self.moved(Kind::Reverted, to, log_e.exp(), why))
    }

    fn drifting(&self) -> Move {
        let to = if self.plan.revert_on_drift { 0 } else { self.at };
        let log_e = self.drift.log_e();
        let why = format!("the evidence is {} that the win rates come from other traffic than before", odds(log_e));
        self.moved(Kind::Drifted, to, log_e.exp(), why)
    }

    fn moved(&self, kind: Kind, to: usize, evidence: f64, why: String) -> Move {
        Move { kind, at: None, from: self.at, to, n: self.n, evidence: evidence.min(1e300), why }
    }

    fn bound(&self) -> String {
        rounded(self.plan.max_quality_loss)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The stage that requests are routed by now.
    pub fn in_force(&self) -> usize {
        if self.paused { 0 } else { self.at }
    }

    /// The stage it stands at, which a pause sets aside.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Whether it is always strong until the running loss leaves room again.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Audited requests so far.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The revert that it has not made up for yet.
    pub fn reverted(&self) -> Option<&Move> {
        self.reverted.as_ref()
    }

    /// Mean loss of the audited requests as they were routed; NaN where there are none.
    pub fn mean_loss(&self) -> f64 {
        self.budget.sum() / self.n as f64
    }

    /// ln of the evidence that the stage it stands at is too bad, and that the traffic is another.
    pub fn alarms(&self) -> (f64, f64) {
        (self.watch.log_e(), self.drift.log_e())
    }

    /// Of each stage ln of the evidence that it is good, and its mean loss since the proofs began.
    pub fn evidence(&self) -> Vec<(f64, f64)> {
        let mean = |proof: &Proof| (proof.bet.log_e(), proof.losses / self.tested as f64);
        std::iter::once((f64::INFINITY, 0.0)).chain(self.proofs.iter().map(mean)).collect()
    }

    /// What it is doing: `starting`, `growing`, `holding`, `paused` or `reverted`.
    pub fn state(&self) -> &'static str {
        if self.paused {
            "paused"
        } else if self.reverted.is_some() {
            "reverted"
        } else if self.holds() {
            "holding"
        } else if self.at == self.plan.start && self.proven < self.at {
            "starting"
        } else {
            "growing"
        }
    }

    /// The part of the traffic to audit now.
    ///
    /// While it holds, the fewer the more requests have gone well: what may be lost before a change is noticed grows with
    /// one over the rate, and is to stay within what the bound has left. While it grows, but has not for long, trying
    /// gets rarer with one over the audits since the last move. Where next to nothing is left, the rate still falls with
    /// one over the requests, so that standing still just below the bound does not cost for ever.
    pub fn rate(&self) -> f64 {
        let doubt = self.watch.log_e().max(self.drift.log_e()) >= -self.plan.delta().ln() / 2.0;
        let (high, low) = self.plan.rates;
        if doubt || self.paused {
            return high;
        }
        let allowed = self.plan.max_quality_loss * self.stood_for.0;
        let left = (allowed - self.stood_for.1).max(SPARE * allowed).max(1.0);
        let tries = if self.holds() { 0.0 } else { high * TRIED as f64 / self.still.max(TRIED) as f64 };
        tries.max(NOTICED / left).clamp(low, high)
    }

    /// Whether there is nowhere to grow to, or it has been tried long enough.
    fn holds(&self) -> bool {
        let Some(next) = self.proofs.get(self.at) else { return self.proven >= self.at };
        let looks_bad = next.losses >= 0.9 * self.plan.max_quality_loss * self.tested as f64;
        self.still >= STILL || (self.still >= TRIED && looks_bad)
    }
}

fn watch(plan: &Plan) -> Result<Change> {
    Change::new(Claim::AtMost, plan.max_quality_loss, -1.0, 1.0, 0.0)
}

fn mean_loss<'a>(audits: impl ExactSizeIterator<Item = &'a Audit>, threshold: f64) -> f64 {
    let n = audits.len();
    audits.map(|audit| audit.loss(threshold)).sum::<f64>() / n.max(1) as f64
}

#[cfg(test)]
mod tests;
