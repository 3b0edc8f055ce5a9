//! The moves of a ramp, as they are written down and told.

use serde::{Deserialize, Serialize};

use super::plan::Stage;
use crate::math::calendar::date_of;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A higher stage was proven.
    Grew,
    /// The running loss left no room: always strong until there is room again.
    Paused,
    /// There is room again.
    Resumed,
    /// The stage stopped being good: back to one that is still supported, or to always strong.
    Reverted,
    /// Win rates come from other traffic than before: what was proven by the old is proven anew.
    Drifted,
}

impl Kind {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grew => "grew",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Reverted => "reverted",
            Self::Drifted => "drifted",
        }
    }
}

/// A move from one stage to another, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// What happened.
    pub kind: Kind,
    /// Seconds since 1970; nothing in rehearsals.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<u64>,
    /// The stage before.
    pub from: usize,
    /// The stage after.
    pub to: usize,
    /// Audited requests so far.
    pub n: u64,
    /// Evidence behind it, as "so much to 1"; 0 where it does not rest on any.
    pub evidence: f64,
    /// In words.
    pub why: String,
}

impl Move {
    /// The move in a sentence: `went back from threshold 0.41 to always strong on 2026-01-05, because ...`.
    pub fn sentence(&self, stages: &[Stage]) -> String {
        let named = |at: usize| stages.get(at).map_or_else(|| format!("stage {at}"), |stage| threshold(*stage));
        let what = match self.kind {
            Kind::Grew => format!("went from {} to {}", named(self.from), named(self.to)),
            Kind::Paused => format!("paused at {}: always strong", named(self.from)),
            Kind::Resumed => format!("went on at {}", named(self.to)),
            Kind::Drifted if self.from == self.to => format!("stayed at {} and proves it anew", named(self.to)),
            Kind::Reverted | Kind::Drifted => format!("went back from {} to {}", named(self.from), named(self.to)),
        };
        let when = self.at.map(|at| format!(" on {}", day(at))).unwrap_or_default();
        format!("{what}{when}, because {}", self.why)
    }
}

/// A stage's threshold in words.
pub fn threshold(stage: Stage) -> String {
    if stage.threshold <= 0.0 {
        "always strong".to_owned()
    } else if stage.threshold.is_infinite() {
        "always weak".to_owned()
    } else {
        format!("threshold {}", rounded(stage.threshold))
    }
}

/// A stage's share in words: `35% weak`.
pub fn share(stage: Stage) -> String {
    format!("{}% weak", rounded(stage.weak_share * 100.0))
}

/// Four digits at most.
pub fn rounded(number: f64) -> String {
    let digits = if number.abs() >= 10.0 { 1 } else { 4 };
    let text = format!("{number:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Evidence in words: `27 to 1`.
pub fn odds(log_e: f64) -> String {
    let odds = log_e.exp();
    if odds < 1e6 { format!("{} to 1", grouped(odds.round() as u64)) } else { "more than a million to 1".to_owned() }
}

/// `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|part| std::str::from_utf8(part).unwrap_or_default()).collect();
    parts.join(",")
}

fn day(seconds: u64) -> String {
    let (year, month, day) = date_of((seconds / 86_400) as i64);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([grouped(0), grouped(999), grouped(1_000), grouped(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([rounded(0.3), rounded(35.0), rounded(0.12345), rounded(0.0)], ["0.3", "35", "0.1235", "0"]);
        assert_eq!(odds(3.0), "20 to 1");
        assert_eq!(odds(1e9), "more than a million to 1");
    }

    #[test]
    fn a_move_is_a_sentence() {
        let stages = [0.0, 0.41, f64::INFINITY].map(|threshold| Stage { weak_share: 0.0, threshold });
        let mut one = Move {
            kind: Kind::Reverted,
            at: Some(1_767_571_200),
            from: 1,
            to: 0,
            n: 10,
            evidence: 20.0,
            why: "it rained".to_owned(),
        };
        assert_eq!(
            one.sentence(&stages),
            "went back from threshold 0.41 to always strong on 2026-01-05, because it rained"
        );
        (one.kind, one.at, one.to) = (Kind::Grew, None, 2);
        assert_eq!(one.sentence(&stages), "went from threshold 0.41 to always weak, because it rained");
    }
}
