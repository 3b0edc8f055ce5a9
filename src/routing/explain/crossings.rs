//! The decision's rule asked backwards: which rung lies on the other side of which border, and how far away it is.

use super::{Asked, Weighed, Word};
use crate::routing::model_name::percent;
use crate::routing::python_float::repr;

/// Another rung, and what lies between it and the chosen one.
pub(super) struct Crossing {
    pub(super) rung: usize,
    /// How far away, in the unit `of`; `None` where that is no question of a number.
    pub(super) by: Option<f64>,
    pub(super) of: &'static str,
    /// The rung as a runner-up, in a sentence.
    pub(super) runner_up: String,
    /// What would have led there; `None` where no setting could.
    pub(super) change: Option<String>,
    pub(super) thresholds: Vec<f64>,
    pub(super) shares: Vec<f64>,
}

/// The nearest other rung upwards and downwards, or each one that another label stands for.
pub(super) fn of(asked: &Asked) -> Vec<Crossing> {
    if let Some(why) = &asked.held {
        return held(asked, why).into_iter().collect();
    }
    match &asked.word {
        Word::WinRate { value, cuts } => along(asked, &Thresholds { value: *value, cuts }),
        Word::Rank { value, shares } => along(asked, &Shares { value: *value, shares }),
        Word::Named { label, weighed } => labels(asked, label.as_deref(), weighed),
        Word::Silent => Vec::new(),
    }
}

/// Where the router's word led, though the request went elsewhere.
fn held(asked: &Asked, why: &str) -> Option<Crossing> {
    let rung = asked.settled(asked.wanted?).filter(|rung| Some(*rung) != asked.chosen)?;
    let name = asked.called(rung);
    Some(Crossing {
        rung,
        by: None,
        of: "word",
        runner_up: format!("{name}: the router's word, but {why}"),
        change: Some(format!("{name} but for this: {why}")),
        thresholds: Vec::new(),
        shares: Vec::new(),
    })
}

/// A number against steps, which lead to ever stronger rungs.
trait Steps {
    fn len(&self) -> usize;
    /// Whether the number takes a step.
    fn takes(&self, step: usize) -> bool;
    /// From the number to the border of a step.
    fn distance(&self, step: usize) -> f64;
    /// What it is called, as it is and as a number.
    fn of(&self) -> &'static str;
    /// The crossing to `rung` by taking or not taking the steps `between`.
    fn crossing(&self, rung: usize, up: bool, between: std::ops::Range<usize>, names: &Names<'_>) -> Crossing;
}

struct Names<'a> {
    /// Where it would go.
    rung: &'a str,
    /// Whether there are just two models.
    pair: bool,
    /// The rung whose border is crossed.
    border: &'a str,
}

fn along(asked: &Asked, steps: &dyn Steps) -> Vec<Crossing> {
    let taken = (0..steps.len()).take_while(|step| steps.takes(*step)).count();
    if asked.reach.len() != steps.len() + 1 {
        return Vec::new();
    }
    let other = |level: &usize| {
        let rung = asked.settled(asked.reach[*level]);
        rung.is_some() && rung != asked.chosen
    };
    let pair = asked.ladder == 2;
    let mut found = Vec::new();
    let up = (taken + 1..=steps.len()).find(other).map(|level| (level, taken..level, level, true));
    let down = (0..taken).rev().find(other).map(|level| (level, level..taken, level + 1, false));
    for (level, between, border, up) in up.into_iter().chain(down) {
        let Some(rung) = asked.settled(asked.reach[level]) else { continue };
        let names = Names { rung: asked.called(rung), pair, border: asked.called(asked.reach[border]) };
        found.push(steps.crossing(rung, up, between, &names));
    }
    // A score that is no number is on no side; a step for none of the traffic, or all of it, is nowhere.
    found.retain(|crossing| crossing.by.is_some_and(f64::is_finite));
    found
}

struct Thresholds<'a> {
    value: f64,
    cuts: &'a [f64],
}

impl Steps for Thresholds<'_> {
    fn len(&self) -> usize {
        self.cuts.len()
    }

    fn takes(&self, step: usize) -> bool {
        self.value >= self.cuts[step]
    }

    fn distance(&self, step: usize) -> f64 {
        (self.value - self.cuts[step]).abs()
    }

    fn of(&self) -> &'static str {
        "win rate"
    }

    fn crossing(&self, rung: usize, up: bool, between: std::ops::Range<usize>, names: &Names<'_>) -> Crossing {
        let Names { rung: name, pair, border } = *names;
        let value = self.value;
        let crossed = if up { between.end - 1 } else { between.start };
        let (cut, by) = (self.cuts[crossed], self.distance(crossed));
        let side = if up { "below" } else { "above" };
        // A threshold is a number from 0 to 1.
        let needed = if up { value } else { value.next_up() };
        let possible = (0.0..=1.0).contains(&needed) && self.cuts.iter().all(|cut| cut.is_finite());
        let mut thresholds = self.cuts.to_vec();
        for threshold in &mut thresholds[between] {
            *threshold = if up { threshold.min(needed) } else { threshold.max(needed) };
        }
        let sentence = match (up, pair) {
            (true, true) => {
                format!("{name} from a threshold of {} downwards (it is {})", shown_below(value), repr(cut))
            }
            (false, true) => format!("{name} from any threshold above {} (it is {})", shown_above(value), repr(cut)),
            (true, false) => format!(
                "{name} if the threshold of {border} were {} or lower (it is {})",
                shown_below(value),
                repr(cut)
            ),
            (false, false) => {
                format!("{name} if the threshold of {border} were above {} (it is {})", shown_above(value), repr(cut))
            }
        };
        let runner_up = if pair {
            format!("{name}: the win rate is {} {side} the threshold {}", small(by), repr(cut))
        } else {
            format!("{name}: the win rate is {} {side} the threshold {} of {border}", small(by), repr(cut))
        };
        Crossing {
            rung,
            by: Some(by),
            of: self.of(),
            runner_up,
            change: possible.then_some(sentence),
            thresholds: if possible { thresholds } else { Vec::new() },
            shares: Vec::new(),
        }
    }
}

struct Shares<'a> {
    value: f64,
    shares: &'a [f64],
}

/// Whether a rank is in the highest `share`; as [`ShareWindow`](crate::routing::ShareWindow) decides.
fn within(rank: f64, share: f64) -> bool {
    share > 0.0 && rank >= 1.0 - share
}

/// The smallest share that a rank is within, without the noise of its last digits; or the largest that it is not.
fn share_at(rank: f64, inside: bool) -> f64 {
    let mut share = (1.0 - rank).clamp(0.0, 1.0);
    if within(rank, round(share)) == inside {
        return round(share);
    }
    while within(rank, share) != inside && (0.0..1.0).contains(&share) {
        share = if inside { share.next_up() } else { share.next_down() };
    }
    share.max(0.0)
}

impl Steps for Shares<'_> {
    fn len(&self) -> usize {
        self.shares.len()
    }

    fn takes(&self, step: usize) -> bool {
        within(self.value, self.shares[step])
    }

    fn distance(&self, step: usize) -> f64 {
        (self.value - (1.0 - self.shares[step])).abs()
    }

    fn of(&self) -> &'static str {
        "rank"
    }

    fn crossing(&self, rung: usize, up: bool, between: std::ops::Range<usize>, names: &Names<'_>) -> Crossing {
        let Names { rung: name, pair, border } = *names;
        let crossed = if up { between.end - 1 } else { between.start };
        let (share, by) = (self.shares[crossed], self.distance(crossed));
        let needed = share_at(self.value, up);
        let mut shares = self.shares.to_vec();
        for share in &mut shares[between] {
            *share = if up { share.max(needed) } else { share.min(needed) };
        }
        // What is below the smallest share that would include it leaves it out.
        let border_share = share_at(self.value, true);
        let (shown, is) = (percent_above(border_share), percent(share));
        let change = match (up, pair) {
            // The highest score of all: everything but nothing includes it.
            (true, _) if border_share < 1e-9 => format!("{name} from any share above 0 (it is {is})"),
            (false, _) if border_share < 1e-9 => format!("{name} with a share of 0 (it is {is})"),
            (true, true) => format!("{name} from a share of {shown} upwards (it is {is})"),
            (false, true) => format!("{name} with a share below {shown} (it is {is})"),
            (true, false) => format!("{name} if the share from {border} upwards were {shown} or more (it is {is})"),
            (false, false) => format!("{name} if the share from {border} upwards were below {shown} (it is {is})"),
        };
        let (side, rank) = (if up { "below" } else { "above" }, repr(round(1.0 - share)));
        let runner_up = format!("{name}: the score ranks {} {side} {rank}, where {border} begins", small(by));
        Crossing { rung, by: Some(by), of: self.of(), runner_up, change: Some(change), thresholds: Vec::new(), shares }
    }
}

/// The rungs that other labels stand for, each by its nearest one.
fn labels(asked: &Asked, label: Option<&str>, weighed: &[Weighed]) -> Vec<Crossing> {
    let winner = weighed.iter().find(|each| Some(each.name.as_str()) == label).map(|each| each.score);
    let mut found: Vec<Crossing> = Vec::new();
    for each in weighed.iter().filter(|each| Some(each.name.as_str()) != label && each.score.is_finite()) {
        let Some(rung) = each.rung.and_then(|rung| asked.settled(rung)) else { continue };
        if Some(rung) == asked.chosen || found.iter().any(|crossing| crossing.rung == rung) {
            continue;
        }
        let bars = winner.into_iter().chain(each.threshold).filter(|bar| bar.is_finite());
        let Some(needed) = bars.reduce(f64::max) else { continue };
        let by = (needed - each.score).max(0.0);
        let (name, called) = (&each.name, asked.called(rung));
        found.push(Crossing {
            rung,
            by: Some(by),
            of: "score",
            runner_up: format!("{called}: '{name}' scored {}, {} too little", four(each.score), small(by)),
            change: Some(format!(
                "{called} if '{name}' scored {} or more (it scored {})",
                shown_above(needed),
                four(each.score)
            )),
            thresholds: Vec::new(),
            shares: Vec::new(),
        });
    }
    found
}

fn four(value: f64) -> String {
    format!("{value:.4}")
}

/// A distance: four decimals, unless they would say 0.
fn small(value: f64) -> String {
    if value < 1e-4 && value > 0.0 { format!("{value:.1e}") } else { four(value) }
}

fn round(value: f64) -> f64 {
    (value * 1e10).round() / 1e10
}

/// Four decimals at most, rounded down, so that what is said of the number holds of what is shown.
fn shown_below(value: f64) -> String {
    let rounded = (value * 1e4).floor() / 1e4;
    // A product can be rounded to the wrong side.
    repr(if rounded > 0.0 && rounded <= value { rounded } else { value })
}

/// The same, rounded up.
fn shown_above(value: f64) -> String {
    let rounded = (value * 1e4).ceil() / 1e4;
    repr(if rounded >= value { rounded } else { value })
}

/// A share in percent, four decimals at most, rounded up.
fn percent_above(share: f64) -> String {
    let near = round(share);
    let rounded = (near * 1e6).ceil() / 1e6;
    // 2 % times a million is 20,000 and a little.
    percent(if rounded - near > 9e-7 { near } else { rounded.max(near) })
}
