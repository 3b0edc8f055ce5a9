//! What a ramp is to do: its stages, and the promise it keeps.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};
use crate::math::betting::total::Total;

/// Win rates that are kept to tell whether traffic has changed.
const REFERENCE: usize = 2_000;

/// Losses that may run up at the beginning, in requests answered wrongly for nothing: with less, chance alone would
/// stop a good ramp.
const ALLOWANCE: f64 = 25.0;

/// A part of the traffic for the weak model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Part of the traffic that was weak at this threshold when the plan was made, 0..=1.
    pub weak_share: f64,
    /// Strong from this win rate on; infinite: never. Written as text, which keeps every bit.
    #[serde(with = "exact")]
    pub threshold: f64,
}

/// The stages of a ramp and what it promises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The bound: mean over all traffic of (strong - weak) on weak-routed requests.
    pub max_quality_loss: f64,
    /// How sure the promises are.
    pub confidence: f64,
    /// Rising; the first is always strong.
    pub stages: Vec<Stage>,
    /// The stage that it begins with.
    pub start: usize,
    /// Whether that stage is certified already.
    pub certified: bool,
    /// The running loss is averaged over at least so many audited requests.
    pub horizon: u64,
    /// Parts of the traffic to audit: while it grows or has doubts, and while it holds.
    pub rates: (f64, f64),
    /// Whether other win rates than before send it back to always strong.
    pub revert_on_drift: bool,
    /// Whether weak wins count for nothing: the loss is max(strong - weak, 0) then.
    #[serde(default)]
    pub regret: bool,
    /// Win rates of the traffic the plan was made of.
    pub reference: Vec<f64>,
}

/// The settings of a plan beside its stages.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    /// As in [`Plan`].
    pub max_quality_loss: f64,
    /// As in [`Plan`].
    pub confidence: f64,
    /// As in [`Plan`]; `None`: 500, or more where the bound is below 0.05.
    pub horizon: Option<u64>,
    /// As in [`Plan`].
    pub rates: (f64, f64),
    /// As in [`Plan`].
    pub revert_on_drift: bool,
    /// As in [`Plan`].
    pub regret: bool,
}

impl Plan {
    /// A plan of rising stages without "always strong", which is put before them; `start` is a place among them, from 1 on,
    /// or 0 for always strong.
    pub fn new(stages: &[Stage], start: usize, certified: bool, reference: &[f64], promise: Promise) -> Result<Self> {
        let Promise { max_quality_loss, confidence, horizon, rates, revert_on_drift, regret } = promise;
        // At extreme confidence chance alone takes more than the usual allowance.
        let allowed = (ALLOWANCE.max(2.0 * needed(1.0 - confidence)) / max_quality_loss).ceil().max(500.0);
        let strong = Stage { weak_share: 0.0, threshold: 0.0 };
        let plan = Self {
            max_quality_loss,
            confidence,
            stages: std::iter::once(strong).chain(stages.iter().copied()).collect(),
            start,
            certified,
            horizon: horizon.unwrap_or(allowed as u64),
            rates,
            revert_on_drift,
            regret,
            reference: sample(reference),
        };
        plan.check()?;
        Ok(plan)
    }

    /// Refuses what cannot be promised.
    pub fn check(&self) -> Result<()> {
        let within = |name: &str, value: f64| {
            let fine = value > 0.0 && value < 1.0;
            fine.then_some(())
                .ok_or_else(|| Error::value(format!("{name}: expected a number inside of 0..1, found {value}")))
        };
        within("max_quality_loss", self.max_quality_loss)?;
        within("confidence", self.confidence)?;
        let least = (needed(self.delta()) / self.max_quality_loss).ceil() as u64;
        if self.horizon < least {
            return Err(Error::value(format!(
                "horizon: expected {least} audited requests or more, found {}: over fewer, a bound of {} does not leave \
                 room for the few losses without which nothing is known at a confidence of {}",
                self.horizon, self.max_quality_loss, self.confidence
            )));
        }
        for (name, rate) in [("the growing", self.rates.0), ("the holding", self.rates.1)] {
            if !(rate > 0.0 && rate <= 1.0) {
                return Err(Error::value(format!("rates: expected {name} part above 0 and at most 1, found {rate}")));
            }
        }
        if self.rates.0 < self.rates.1 {
            let (growing, holding) = self.rates;
            return Err(Error::value(format!(
                "rates: expected the growing part first and the holding part no larger, found {growing} and {holding}"
            )));
        }
        let rising = |pair: &[Stage]| pair[0].threshold < pair[1].threshold && pair[0].weak_share <= pair[1].weak_share;
        if self.stages.len() < 2 || !self.stages.windows(2).all(rising) {
            let shown: Vec<String> = self.stages.iter().skip(1).map(|stage| format!("{:?}", stage.threshold)).collect();
            return Err(Error::value(format!(
                "stages: expected at least one threshold above 0, each above the one before; found {}",
                if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
            )));
        }
        if self.start >= self.stages.len() {
            let most = self.top();
            return Err(Error::value(format!("start: expected a stage of 0..={most}, found {}", self.start)));
        }
        Ok(())
    }

    /// The probability that a promise may fail with.
    pub fn delta(&self) -> f64 {
        1.0 - self.confidence
    }

    /// Place of the last stage.
    pub fn top(&self) -> usize {
        self.stages.len() - 1
    }
}

/// What may have been lost before anything was seen, and the request that is next.
fn needed(delta: f64) -> f64 {
    Total::default().at_most(delta) + 1.0
}

/// The stages at which the given parts of `win_rates` are weak, as near as equal scores allow; each threshold once.
///
/// A part of 1 has no threshold: nothing is strong.
pub fn stages_of(win_rates: &[f64], shares: &[f64]) -> Vec<Stage> {
    let mut sorted = win_rates.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut stages: Vec<Stage> = Vec::new();
    for &share in shares {
        let at = (share * sorted.len() as f64).round() as usize;
        let threshold = sorted.get(at).copied().unwrap_or(f64::INFINITY);
        let weak = sorted.partition_point(|score| *score < threshold) as f64 / sorted.len() as f64;
        let above = stages.last().is_none_or(|last| threshold > last.threshold && weak > last.weak_share);
        if above && weak > 0.0 && threshold > 0.0 {
            stages.push(Stage { weak_share: weak, threshold });
        }
    }
    stages
}

/// As many as are kept, drawn by lot, so that what is kept is traffic like the rest.
fn sample(win_rates: &[f64]) -> Vec<f64> {
    let mut lots: Vec<usize> = (0..win_rates.len()).collect();
    if win_rates.len() > REFERENCE {
        lots.sort_unstable_by_key(|at| xxh3_64(&at.to_le_bytes()));
        lots.truncate(REFERENCE);
    }
    // Five decimals are more than the drift's cells tell apart.
    lots.into_iter().map(|at| (win_rates[at] * 1e5).round() / 1e5).collect()
}

/// A number as text: JSON's own reading may lose the last bit, and infinity altogether.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    pub(super) fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{number:?}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| de::Error::custom(format!("expected a threshold, found {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_follow_the_shares() {
        let scores: Vec<f64> = (0..100).map(|i| f64::from(i) / 100.0).collect();
        let stages = stages_of(&scores, &[0.2, 0.5, 1.0]);
        let told: Vec<(f64, f64)> = stages.iter().map(|stage| (stage.weak_share, stage.threshold)).collect();
        assert_eq!(told, [(0.2, 0.2), (0.5, 0.5), (1.0, f64::INFINITY)]);
    }

    #[test]
    fn equal_scores_go_together() {
        let told = |scores: &[f64], shares: &[f64]| -> Vec<f64> {
            stages_of(scores, shares).iter().map(|stage| stage.weak_share).collect()
        };
        assert_eq!(told(&[0.5; 10], &[0.2, 0.5, 1.0]), [1.0]);
        assert_eq!(told(&[0.1, 0.1, 0.1, 0.9], &[0.25, 0.5, 0.75, 1.0]), [0.75, 1.0]);
        assert!(told(&[], &[0.2]).is_empty());
    }

    #[test]
    fn a_plan_reads_back_as_it_was() {
        let stages = stages_of(&[0.1, 0.2, 0.1 + 0.2, 1.0 / 3.0], &[0.25, 0.5, 0.75, 1.0]);
        let promise = Promise {
            max_quality_loss: 0.05,
            confidence: 0.95,
            horizon: None,
            rates: (0.5, 0.02),
            revert_on_drift: false,
            regret: false,
        };
        let plan = Plan::new(&stages, 1, false, &[0.1, 0.2], promise).unwrap();
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        let bad = Promise { max_quality_loss: 0.0, ..promise };
        assert!(Plan::new(&stages, 1, false, &[], bad).is_err());
        for (horizon, fine) in [(0, false), (100, false), (150, true)] {
            let promise = Promise { horizon: Some(horizon), ..promise };
            assert_eq!(Plan::new(&stages, 1, false, &[], promise).is_ok(), fine, "{horizon}");
        }
        let rising = Promise { rates: (0.01, 0.5), ..promise };
        assert!(Plan::new(&stages, 1, false, &[], rising).is_err());
        assert!(Plan::new(&stages, 9, false, &[], promise).is_err());
        assert!(Plan::new(&[], 0, false, &[], promise).is_err());
    }
}
