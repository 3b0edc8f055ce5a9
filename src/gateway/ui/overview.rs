//! What calls of a stretch of time came to: totals, by model and router, and over time.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{About, quality, thresholds};
use crate::error::{Error, Result};
use crate::ledger::picture::{self, Figures, Picture, Slice, Span};
use crate::ledger::{Measured, Outcome};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How far back, and in which slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    name: &'static str,
    slices: i64,
    width: i64,
}

/// The ranges that may be asked for.
pub(super) const RANGES: [Range; 4] = [
    Range { name: "1h", slices: 60, width: MINUTE },
    Range { name: "24h", slices: 48, width: HOUR / 2 },
    Range { name: "7d", slices: 42, width: 4 * HOUR },
    Range { name: "30d", slices: 30, width: DAY },
];

/// Of so many models the money is shown one by one, of the others together.
const SHOWN: usize = 7;

/// The range of a name, and its place.
pub(super) fn range(name: Option<&str>) -> Result<(usize, Range)> {
    let name = name.unwrap_or("24h");
    let place = RANGES.iter().position(|range| range.name == name);
    let place = place.ok_or_else(|| Error::value("range: expected 1h, 24h, 7d or 30d"))?;
    Ok((place, RANGES[place]))
}

impl Range {
    /// Slices begin at full minutes, hours or days (UTC), and the last one is the present one.
    fn span(self, now: i64) -> Span {
        let until = (now / self.width + 1) * self.width;
        Span { since: until - (self.slices + 1) * self.width, until, width: self.width }
    }
}

/// The figures as JSON. Money is in dollars, times are milliseconds since 1970.
pub(super) fn made(about: &About, range: Range, now: i64) -> Result<Value> {
    let span = range.span(now);
    let picture = match &about.ledger {
        Some(ledger) => ledger.picture(span, picture::MOST)?,
        None => Picture::default(),
    };
    let lost = about.ledger.as_ref().map_or(0, |ledger| ledger.lost());
    Ok(told(about, range, now, &picture, lost))
}

fn told(about: &About, range: Range, now: i64, picture: &Picture, lost: u64) -> Value {
    let span = range.span(now);
    let calls = sum(picture, is_call);
    let beside = sum(picture, |slice| slice.outcome.is_beside());
    let shadows = sum(picture, |slice| slice.outcome == Outcome::Shadow);
    let count = |outcome| sum(picture, |slice| slice.outcome == outcome).n;
    json!({
        "range": range.name,
        "since": span.since / 1000,
        "until": span.until / 1000,
        "width": span.width / 1000,
        "now": now / 1000,
        "ledger": about.ledger.is_some(),
        "cut": picture.cut.map(|cut| cut / 1000),
        "forgotten": picture.forgotten,
        "lost": lost,
        "rungs": about.rungs.iter().map(|rung| json!({"tier": rung.tier, "model": rung.model})).collect::<Value>(),
        "totals": {
            "calls": calls.n,
            "ok": count(Outcome::Ok),
            "failed": count(Outcome::Failed),
            "cancelled": count(Outcome::Cancelled),
            "escalated": count(Outcome::Escalated),
            "unpriced": calls.n - calls.priced,
            "cost": calls.cost + beside.cost,
            "router_cost": calls.router_cost + beside.router_cost,
            "prompt_tokens": calls.prompt_tokens + beside.prompt_tokens,
            "completion_tokens": calls.completion_tokens + beside.completion_tokens,
            "compared": calls.compared,
            "baseline": calls.baseline,
            "saved": calls.saved - beside.cost,
            "shadows": shadows.n,
            "shadow_cost": shadows.cost,
        },
        "measured": picture::measured(&picture.slices).map(measure),
        "models": models(about, picture),
        "routers": routers(picture),
        "spend": spend(about, picture, range.slices + 1),
        "saving": saving(picture, span, now),
        "quality": quality::made(about, picture),
        "thresholds": thresholds::made(about, picture),
    })
}

/// Whether a slice's rows are calls of the caller's: neither parts of others nor asked to compare with.
fn is_call(slice: &Slice) -> bool {
    slice.outcome != Outcome::Shadow && !slice.outcome.is_beside()
}

fn sum(picture: &Picture, which: impl Fn(&Slice) -> bool) -> Figures {
    let mut all = Figures::default();
    picture.slices.iter().filter(|slice| which(slice)).for_each(|slice| all.merge(&slice.figures));
    all
}

fn measure(of: Measured) -> Value {
    json!({
        "saved": of.saved,
        "low": of.interval.0,
        "high": of.interval.1,
        "baseline": of.baseline,
        "held": of.held,
        "routed": of.routed,
    })
}

#[derive(Default)]
struct Line {
    calls: Figures,
    beside: Figures,
    failed: i64,
}

impl Line {
    fn add(&mut self, slice: &Slice) {
        if is_call(slice) {
            self.calls.merge(&slice.figures);
        } else {
            self.beside.merge(&slice.figures);
        }
        if slice.outcome == Outcome::Failed {
            self.failed += slice.figures.n;
        }
    }

    fn cost(&self) -> f64 {
        self.calls.cost + self.beside.cost
    }
}

fn lines<'a, K: Ord>(picture: &'a Picture, key: impl Fn(&'a Slice) -> K) -> BTreeMap<K, Line> {
    let mut lines = BTreeMap::<K, Line>::new();
    for slice in picture.slices.iter().filter(|slice| slice.outcome != Outcome::Shadow) {
        lines.entry(key(slice)).or_default().add(slice);
    }
    lines
}

/// A line for each model, in the order of [`About::order`].
fn models(about: &About, picture: &Picture) -> Value {
    let lines = lines(picture, |slice| about.order(&slice.model));
    let line = |((_, model), line): (&(usize, &str), &Line)| {
        let rung = about.rungs.iter().position(|rung| rung.model == *model);
        json!({
            "model": model,
            "rung": rung,
            "calls": line.calls.n,
            "cost": line.cost(),
            "unpriced": line.calls.n - line.calls.priced,
            "failed": line.failed,
            "prompt_tokens": line.calls.prompt_tokens,
            "completion_tokens": line.calls.completion_tokens,
        })
    };
    lines.iter().map(line).collect()
}

fn routers(picture: &Picture) -> Value {
    let lines = lines(picture, |slice| slice.router.as_deref());
    let line = |(router, line): (Option<&str>, Line)| {
        json!({
            "router": router,
            "calls": line.calls.n,
            "cost": line.cost(),
            "router_cost": line.calls.router_cost,
            "compared": line.calls.compared,
            "saved": line.calls.saved - line.beside.cost,
        })
    };
    lines.into_iter().map(line).collect()
}

/// Cost and calls of each model in each slice, the dearest models by themselves.
fn spend(about: &About, picture: &Picture, slices: i64) -> Value {
    let mut dearest: Vec<_> = lines(picture, |slice| about.order(&slice.model)).into_iter().collect();
    dearest.sort_by(|a, b| b.1.cost().total_cmp(&a.1.cost()));
    let others = dearest.len() > SHOWN;
    dearest.truncate(if others { SHOWN - 1 } else { SHOWN });
    dearest.sort_by_key(|(order, _)| *order);
    let names: Vec<&str> = dearest.iter().map(|((_, model), _)| *model).collect();
    let row = || vec![0.0; slices.max(0) as usize];
    let mut cost = vec![row(); names.len() + usize::from(others)];
    let mut calls = cost.clone();
    let mut choosing = row();
    for slice in picture.slices.iter().filter(|slice| slice.outcome != Outcome::Shadow) {
        let line = names.iter().position(|name| *name == slice.model).unwrap_or(names.len());
        let Some(place) = usize::try_from(slice.index).ok().filter(|place| *place < choosing.len()) else { continue };
        cost[line][place] += slice.figures.cost;
        choosing[place] += slice.figures.router_cost;
        if is_call(slice) {
            calls[line][place] += slice.figures.n as f64;
        }
    }
    json!({"models": names, "others": others, "cost": cost, "calls": calls, "choosing": choosing})
}

/// What was saved from the begin of the span until the end of each slice: the estimate, and what calls by lot measure.
fn saving(picture: &Picture, span: Span, now: i64) -> Value {
    let mut slices: Vec<&Slice> = picture.slices.iter().collect();
    slices.sort_by_key(|slice| slice.index);
    let last = (now - span.since) / span.width;
    let (mut taken, mut estimate, mut compared) = (0, 0.0, 0);
    let mut point = |index: i64| {
        while let Some(slice) = slices.get(taken).filter(|slice| slice.index <= index) {
            if is_call(slice) {
                estimate += slice.figures.saved;
                compared += slice.figures.compared;
            } else if slice.outcome.is_beside() {
                estimate -= slice.figures.cost;
            }
            taken += 1;
        }
        let measured = picture::measured(slices[..taken].iter().copied());
        json!({
            "until": (span.since + (index + 1) * span.width).min(now) / 1000,
            "estimate": (compared > 0).then_some(estimate),
            "measured": measured.map(|of| of.saved),
            "low": measured.map(|of| of.interval.0),
            "high": measured.map(|of| of.interval.1),
        })
    };
    (0..=last).map(&mut point).collect()
}

impl About {
    /// Rungs first, weakest to strongest; then the others by their names.
    pub(super) fn order<'a>(&self, model: &'a str) -> (usize, &'a str) {
        (self.rungs.iter().position(|rung| rung.model == model).unwrap_or(self.rungs.len()), model)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::Rung;
    use super::*;

    fn slice(index: i64, model: &str, outcome: Outcome, figures: Figures) -> Slice {
        Slice { index, model: model.into(), router: Some("mf".into()), outcome, holdout: false, figures }
    }

    fn about() -> About {
        let rung = |model: &str| Rung { tier: None, model: model.into() };
        About { rungs: vec![rung("weak"), rung("strong")], ..About::default() }
    }

    #[test]
    fn a_span_ends_with_the_slice_that_is_now() {
        for range in RANGES {
            let now = 1_700_000_012_345_678;
            let span = range.span(now);
            assert_eq!((span.until - span.since) / span.width, range.slices + 1);
            assert!(span.until > now && span.until - range.width <= now && span.since % span.width == 0);
        }
        assert_eq!(range(None).unwrap().1.name, "24h");
        assert_eq!(range(Some("30d")).unwrap().0, 3);
        assert!(range(Some("2h")).is_err());
    }

    #[test]
    fn parts_of_calls_cost_and_are_no_calls() {
        let one = Figures { n: 1, priced: 1, cost: 2.0, compared: 1, baseline: 5.0, saved: 3.0, ..Figures::default() };
        let beside = Figures { n: 1, priced: 1, cost: 0.5, ..Figures::default() };
        let picture = Picture {
            slices: vec![
                slice(0, "strong", Outcome::Ok, one),
                slice(2, "weak", Outcome::Escalated, beside),
                slice(2, "weak", Outcome::Failed, Figures { priced: 0, cost: 0.0, compared: 0, saved: 0.0, ..one }),
                slice(2, "strong", Outcome::Shadow, Figures { cost: 9.0, ..one }),
            ],
            ..Picture::default()
        };
        let now = 2 * HOUR;
        let told = told(&about(), RANGES[0], now, &picture, 0);
        let totals = &told["totals"];
        assert_eq!(totals["calls"], 2);
        assert_eq!((totals["cost"].as_f64(), totals["saved"].as_f64()), (Some(2.5), Some(2.5)));
        assert_eq!((&totals["unpriced"], &totals["failed"], &totals["escalated"]), (&json!(1), &json!(1), &json!(1)));
        assert_eq!((&totals["shadows"], &totals["shadow_cost"]), (&json!(1), &json!(9.0)));
        let models: Vec<_> = told["models"].as_array().unwrap().iter().map(|line| &line["model"]).collect();
        assert_eq!(models, ["weak", "strong"], "weakest first");
        assert_eq!(told["spend"]["cost"][1][0], 2.0);
        assert_eq!(told["spend"]["cost"][0][2], 0.5);
        let saving = told["saving"].as_array().unwrap();
        let estimates: Vec<_> = saving.iter().map(|point| point["estimate"].as_f64()).collect();
        assert_eq!((estimates[0], estimates[1], estimates[2]), (Some(3.0), Some(3.0), Some(2.5)));
        assert_eq!((told["measured"].is_null(), saving.len()), (true, 61));
    }

    #[test]
    fn the_cheapest_models_are_told_together() {
        let of =
            |model: &str, cost| slice(1, model, Outcome::Ok, Figures { n: 1, priced: 1, cost, ..Figures::default() });
        let names: Vec<String> = (0..9).map(|n| format!("m{n}")).collect();
        let slices = names.iter().zip(1..).map(|(name, cost)| of(name, f64::from(cost))).collect();
        let told = spend(&about(), &Picture { slices, ..Picture::default() }, 3);
        assert_eq!(told["models"], json!(["m3", "m4", "m5", "m6", "m7", "m8"]));
        assert_eq!((&told["others"], &told["cost"][6]), (&json!(true), &json!([0.0, 6.0, 0.0])));
    }
}
