//! What comes after the routers' words: models that cannot serve the request, limits, and where the conversation is.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use rust_decimal::Decimal;

use super::walk::{End, Spoken};
use super::{Decided, Deciding, Remarks};
use crate::engine::serving::{Call, Found, Rung};
use crate::error::Result;
use crate::pricing::Table;
use crate::routing::filters::{Needs, in_place_of};
use crate::routing::sticky::Rungs;
use crate::text::view::View;

impl Deciding {
    /// The decision that words lead to.
    pub(super) fn settled(
        &self,
        spoken: Spoken,
        found: Option<Found>,
        call: &Call,
        view: &View,
        remarks: &Remarks,
    ) -> Result<Decided> {
        let ladder = &self.parts.ladder;
        let barred = found.map(|found| {
            remarks.extend(found.barred.notes);
            found.barred.reasons
        });
        let barred = barred.filter(|reasons| reasons.iter().any(Option::is_some)).unwrap_or_default();
        let Spoken { floor, ceiling, mut reason, .. } = spoken;
        let (wanted, beyond) = match spoken.end {
            End::Rung(rung) => (Some(rung), None),
            End::Beyond(at) => (None, Some(at)),
        };
        let mut index = match beyond {
            Some(at) => self.in_place_of(at, call, view, &barred, remarks)?,
            None => wanted,
        };
        if let (None, Some(at)) = (index, beyond)
            && (floor.is_some() || ceiling.is_some())
        {
            let bounds = [("floor", floor), ("ceiling", ceiling)];
            let said: Vec<String> =
                bounds.iter().filter_map(|(what, at)| Some(format!("the {what} {}", ladder.names()[(*at)?]))).collect();
            let model = &self.parts.beyond[at].target.name;
            remarks.extend([format!("{model} is on no rung, so {} cannot hold", said.join(" and "))]);
        }
        let mut stay = None;
        if let Some(rung) = index {
            let mut rung = rung;
            if !barred.is_empty() || floor.is_some() || ceiling.is_some() {
                let settled = ladder.settle(rung, floor, ceiling, &barred)?;
                remarks.extend(settled.notes);
                rung = settled.index;
            }
            if self.parts.manner.sticky
                && let Some((on, why)) = self.seat(rung, ceiling, &barred, view)
            {
                remarks.extend([why.clone()]);
                (rung, stay) = (on, Some(why));
            }
            if Some(rung) != wanted {
                reason = format!("{reason}; moved to {}", ladder.side(rung));
            }
            index = Some(rung);
        }
        let target = match (index, beyond) {
            (Some(rung), _) => &self.parts.targets[rung],
            (None, Some(at)) => &self.parts.beyond[at].target,
            // A word ends on a rung or at a model.
            (None, None) => &self.parts.targets[0],
        };
        let router_cost = remarks.paid().unwrap_or(Some(Decimal::ZERO));
        Ok(Decided {
            rung: index,
            wanted,
            limits: (floor, ceiling),
            barred,
            tier: index.filter(|_| !ladder.is_pair()).map(|rung| ladder.names()[rung].clone()),
            router: Some(spoken.router),
            path: spoken.path,
            win_rate: spoken.win_rate,
            thresholds: spoken.thresholds,
            shares: spoken.shares,
            rank: spoken.rank,
            verdicts: spoken.verdicts,
            failed: spoken.failed,
            stay,
            reason,
            notes: remarks.take_notes(),
            warmup: spoken.warmup,
            router_cost,
            baseline: self.parts.baseline.clone(),
            ..Decided::by_name(Arc::clone(target), String::new())
        })
    }

    /// The rung that answers in the place of a model beyond the ladder that cannot; `None` where it can.
    fn in_place_of(
        &self,
        at: usize,
        call: &Call,
        view: &View,
        barred: &[Option<String>],
        remarks: &Remarks,
    ) -> Result<Option<usize>> {
        let beyond = &self.parts.beyond[at];
        let Some(found) = beyond.serving.check(&Needs::of(view), call) else { return Ok(None) };
        // It may rest or be slow: who named it wants it.
        let Some(Some(reason)) = found.barred.reasons.into_iter().next() else { return Ok(None) };
        let model = &beyond.target.name;
        let models: Vec<&str> = self.parts.serving.rungs().iter().map(|rung| rung.model.as_str()).collect();
        let index = in_place_of(model, &reason, &models, barred)?;
        remarks.extend([format!("{model} is skipped: {reason}")]);
        Ok(Some(index))
    }

    /// The rung that a conversation stays on where the word is `index`, and why.
    fn seat(
        &self,
        index: usize,
        ceiling: Option<usize>,
        barred: &[Option<String>],
        view: &View,
    ) -> Option<(usize, String)> {
        let serving = &self.parts.serving;
        if index + 1 >= serving.rungs().len() {
            return None;
        }
        let models: Vec<&str> = serving.rungs().iter().map(|rung| rung.model.as_str()).collect();
        let names: Vec<Vec<&str>> = serving.rungs().iter().map(Rung::names).collect();
        let rungs = Rungs { models: &models, names: &names, barred, ceiling };
        let sessions = self.parts.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.stay(view, index, &rungs, Table::shared(), Instant::now())
    }
}
