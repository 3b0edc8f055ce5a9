//! A ramp with its memory: in a file that several processes may share, or in this process alone.

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::xxh3_64;

use super::journal::{self, Journal, Line};
use super::moves::{self, Move};
use super::plan::Plan;
use super::{Audit, Ramp};
use crate::error::{Error, Kind, Result};

/// How old what is known of a file may be, in milliseconds.
const FRESH: u128 = 50;

/// A ramp, its moves, and where they are written down.
#[derive(Debug)]
pub struct Kept {
    ramp: Ramp,
    moves: Vec<Move>,
    /// How many of the moves were told of.
    told: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    File(Journal, Option<Instant>),
    /// The lines, for pickles.
    Here(Vec<Line>),
}

impl Kept {
    /// Opens the ramp in a file, or begins one there; without a path it lives in this process.
    ///
    /// Where the file has a ramp already, that one goes on with its own stages; `plan` may be left out, and is refused if
    /// it promises something else.
    pub fn open(path: Option<&Path>, plan: Option<Plan>) -> Result<Self> {
        let Some(path) = path else {
            let plan = plan.ok_or_else(|| Error::value("a ramp without a file needs a plan"))?;
            return Ok(Self { ramp: Ramp::new(plan)?, moves: Vec::new(), told: 0, place: Place::Here(Vec::new()) });
        };
        let head = plan.as_ref().map(journal::head).transpose()?;
        let mut file = Journal::open(path, head.as_deref())?;
        let (mut ramp, mut moves): (Option<Ramp>, _) = (None, Vec::new());
        file.with(
            |_, line| match &mut ramp {
                None => Ramp::new(journal::plan(line)?).map(|first| ramp = Some(first)),
                Some(ramp) => replay(ramp, &mut moves, Line::read(line)?),
            },
            || Ok(((), String::new())),
        )?;
        let ramp = ramp.ok_or_else(|| {
            Error::new(
                Kind::Value,
                format!("{}: expected the plan of a ramp in line 1, found an empty file", path.display()),
            )
        })?;
        if let Some(plan) = plan {
            same(&plan, ramp.plan()).map_err(|error| error.context(path.display()))?;
        }
        Ok(Self { ramp, told: moves.len(), moves, place: Place::File(file, None) })
    }

    /// A ramp from what [`Kept::lines`] gave.
    pub fn of_lines(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let mut ramp = Ramp::new(journal::plan(lines.next().unwrap_or_default())?)?;
        let (mut moves, mut kept) = (Vec::new(), Vec::new());
        for line in lines {
            let line = Line::read(line)?;
            kept.push(line.clone());
            replay(&mut ramp, &mut moves, line)?;
        }
        Ok(Self { ramp, told: moves.len(), moves, place: Place::Here(kept) })
    }

    /// The file's text, of a ramp that has none.
    pub fn lines(&self) -> Result<String> {
        let mut text = journal::head(self.ramp.plan())?;
        if let Place::Here(lines) = &self.place {
            for line in lines {
                text += &line.write()?;
            }
        }
        Ok(text)
    }

    /// Its file.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(file, _) => Some(file.path()),
            Place::Here(_) => None,
        }
    }

    /// The ramp as it is known to be.
    pub fn ramp(&self) -> &Ramp {
        &self.ramp
    }

    /// All moves so far.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// Whether there are moves since it was opened that were not told of.
    pub fn has_news(&self) -> bool {
        self.told < self.moves.len()
    }

    /// These moves, each once, whoever made them.
    pub fn news(&mut self) -> &[Move] {
        let from = std::mem::replace(&mut self.told, self.moves.len());
        &self.moves[from..]
    }

    /// What a caller should know where it is not as it should be: how it went back, or that it is paused.
    pub fn note(&self) -> Option<String> {
        let stages = &self.ramp.plan().stages;
        let paused = || self.moves.iter().rfind(|one| one.kind == moves::Kind::Paused);
        let told = if self.ramp.is_paused() { paused() } else { self.ramp.reverted() };
        told.map(|one| one.sentence(stages))
    }

    /// Whether a plan promises what this ramp does, by the same thresholds; else an error says what differs.
    pub fn keeps(&self, plan: &Plan) -> Result<()> {
        same(plan, self.ramp.plan()).map_err(|error| match self.path() {
            Some(path) => error.context(path.display()),
            None => error,
        })
    }

    /// Takes in audits that had one chance of being drawn, and makes the moves that they call for.
    ///
    /// `routed_by` is the threshold they were routed by; `None`: the one in force.
    pub fn observe(&mut self, audits: &[Audit], probability: f64, routed_by: Option<f64>) -> Result<()> {
        if !(probability > 0.0 && probability <= 1.0) {
            return Err(Error::value(format!(
                "probability: expected a number above 0 and at most 1, found {probability}"
            )));
        }
        if routed_by.is_some_and(f64::is_nan) {
            return Err(Error::value("threshold: expected a number, found nan"));
        }
        let had = (probability, routed_by);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let Self { ramp, moves, place, .. } = self;
        match place {
            Place::Here(lines) => taken_in(ramp, moves, (audits, had), now, |line| {
                lines.push(line);
                Ok(())
            }),
            Place::File(file, checked) => {
                // Both closures need the ramp, one after the other.
                let state = std::cell::RefCell::new((ramp, moves));
                file.with(
                    |_, line| {
                        let (ramp, moves) = &mut *state.borrow_mut();
                        replay(ramp, moves, Line::read(line)?)
                    },
                    || {
                        let (ramp, moves) = &mut *state.borrow_mut();
                        let mut text = String::new();
                        taken_in(ramp, moves, (audits, had), now, |line| {
                            text += &line.write()?;
                            Ok(())
                        })?;
                        Ok(((), text))
                    },
                )?;
                *checked = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// Reads what other processes have added, unless that was looked after a moment ago.
    pub fn refresh(&mut self) -> Result<()> {
        let Self { ramp, moves, place: Place::File(file, checked), .. } = self else { return Ok(()) };
        if checked.is_some_and(|at| at.elapsed().as_millis() < FRESH) {
            return Ok(());
        }
        *checked = Some(Instant::now());
        if !file.has_news() {
            return Ok(());
        }
        file.with(|_, line| replay(ramp, moves, Line::read(line)?), || Ok(((), String::new())))
    }
}

fn taken_in(
    ramp: &mut Ramp,
    moves: &mut Vec<Move>,
    (audits, (probability, routed_by)): (&[Audit], (f64, Option<f64>)),
    now: u64,
    mut write: impl FnMut(Line) -> Result<()>,
) -> Result<()> {
    for &audit in audits {
        ramp.see(audit, probability, routed_by)?;
        write(Line::Audit(now, audit, probability, routed_by))?;
        settle(ramp, Some(now), |one| {
            moves.push(one.clone());
            write(Line::Move(one))
        })?;
    }
    Ok(())
}

/// Makes all moves that are called for.
fn settle(ramp: &mut Ramp, now: Option<u64>, mut told: impl FnMut(Move) -> Result<()>) -> Result<()> {
    // A revert may be followed by a pause or its end; nothing calls for more.
    for _ in 0..4 {
        let Some(mut one) = ramp.decide()? else { return Ok(()) };
        one.at = now;
        ramp.go(&one)?;
        told(one)?;
    }
    Ok(())
}

fn replay(ramp: &mut Ramp, moves: &mut Vec<Move>, line: Line) -> Result<()> {
    match line {
        Line::Audit(_, audit, probability, routed_by) => ramp.see(audit, probability, routed_by),
        Line::Move(one) => {
            ramp.go(&one)?;
            moves.push(one);
            Ok(())
        }
    }
}

/// Refuses to go on with another promise than a file's.
fn same(asked: &Plan, found: &Plan) -> Result<()> {
    for (name, asked, found) in [
        ("max_quality_loss", asked.max_quality_loss, found.max_quality_loss),
        ("confidence", asked.confidence, found.confidence),
    ] {
        if (asked - found).abs() > 1e-12 {
            return Err(Error::value(format!(
                "{name}: the ramp in this file was begun with {found}, found {asked}; use another file for another promise"
            )));
        }
    }
    if asked.stages != found.stages || asked.regret != found.regret {
        return Err(Error::value(
            "the ramp in this file was begun with other thresholds: of another router, other win rates or another \
             certificate. Leave them out to go on with it, or use another file",
        ));
    }
    Ok(())
}

/// What a rehearsal came to.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// The stage in force for each request.
    pub stages: Vec<u32>,
    /// Whether it was audited.
    pub audited: Vec<bool>,
    /// The moves, with the number of the request in the place of the time.
    pub moves: Vec<Move>,
}

/// What a ramp of this plan would have done on requests with both scores: each is audited by lot at the ramp's own rate, or
/// at `rate`.
pub fn rehearse(plan: Plan, requests: &[Audit], rate: Option<f64>, seed: u64) -> Result<Rehearsal> {
    let mut ramp = Ramp::new(plan)?;
    let (mut stages, mut audited, mut moves) = (Vec::new(), Vec::new(), Vec::new());
    for (at, &request) in requests.iter().enumerate() {
        stages.push(ramp.in_force() as u32);
        let lot = xxh3_64(&[seed.to_le_bytes(), (at as u64).to_le_bytes()].concat()) >> 11;
        let probability = rate.unwrap_or_else(|| ramp.rate());
        let drawn = (lot as f64) < probability * (1_u64 << 53) as f64;
        audited.push(drawn);
        if drawn {
            ramp.see(request, probability, None)?;
            settle(&mut ramp, Some(at as u64), |one| {
                moves.push(one);
                Ok(())
            })?;
        }
    }
    Ok(Rehearsal { stages, audited, moves })
}
