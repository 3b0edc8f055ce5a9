//! Whether win rates still come from the traffic they came from: evidence that may be looked at after each of them.
//!
//! If nothing has changed, the rank of a new win rate among all earlier ones, ties broken by lot, is as likely to be any
//! other, and independent of the ranks before it, whatever the distribution (Vovk, Gammerman and Shafer 2005). A gambler
//! bets that ranks run high, or low, or to the ends or the middle, and moves a hundredth of his money between these
//! bets each time ("Simple Jumper", Vovk et al. 2021, arXiv:2102.10439). Moving costs: in a long good time he loses nearly
//! all. So a part of the money is kept for others who sit down later, as in [`change`](crate::math::betting::change): their
//! wealth together reaches 1/δ with probability δ at most while the traffic stays as it is, and a shift after a year is
//! found about as soon as one after a week.

use xxhash_rust::xxh3::xxh3_64;

use crate::math::betting::change::{BLOCK, aside, part};

/// Cells of 0..=1 in which win rates are counted. Where a router's scores crowd together, hundreds are left.
const CELLS: usize = 1 << 14;

/// Win rates that are needed before anything is bet.
pub const ENOUGH: u64 = 200;

/// The part of the money that is moved each time.
const JUMP: f64 = 0.01;

/// A watch on win rates.
#[derive(Debug, Clone)]
pub struct Drift {
    /// Counts of cells, as sums over powers of two (Fenwick 1994).
    counts: Vec<u32>,
    known: u64,
    n: u64,
    /// Ranks that were bet on.
    bets: u64,
    /// ln of the wealth, and how it is split among the bets, for the place of ranks and for their distance from the middle.
    place: Jumper,
    spread: Jumper,
}

impl Drift {
    /// A watch that has seen `reference`, win rates of the traffic that is taken to be right. Without enough of them it
    /// takes the first of the new ones.
    pub fn new(reference: &[f64]) -> Self {
        let start = Jumper { log: f64::NEG_INFINITY, parts: [1.0 / 3.0; 3] };
        let mut drift = Self { counts: vec![0; CELLS + 1], known: 0, n: 0, bets: 0, place: start, spread: start };
        for &score in reference {
            drift.count(cell(score));
        }
        drift
    }

    /// Sees a win rate; one that is not a number counts as 0.
    pub fn push(&mut self, win_rate: f64) {
        let cell = cell(win_rate);
        if self.known >= ENOUGH {
            let above = self.known - self.up_to(cell);
            let equal = self.up_to(cell) - cell.checked_sub(1).map_or(0, |below| self.up_to(below));
            // A lot, drawn by number: replaying a file draws the same.
            let lot = (xxh3_64(&self.known.to_le_bytes()) >> 11) as f64 / (1_u64 << 53) as f64;
            let rank = (above as f64 + lot * (equal + 1) as f64) / (self.known + 1) as f64;
            if self.bets.is_multiple_of(BLOCK) {
                let log = part((self.bets / BLOCK) as f64).ln();
                self.place.sit_down(log);
                self.spread.sit_down(log);
            }
            self.bets += 1;
            self.place.bet(rank - 0.5);
            self.spread.bet((2.0 * rank - 1.0).abs() - 0.5);
        }
        self.count(cell);
        self.n += 1;
    }

    /// ln of the wealth: 3 is evidence of 20 to 1 that the traffic has changed.
    pub fn log_e(&self) -> f64 {
        let won = crate::math::betting::log_mean_exp(&[self.place.log, self.spread.log]);
        let kept = aside(self.bets.div_ceil(BLOCK) as f64);
        let top = won.max(0.0);
        top + ((won - top).exp() + kept * (-top).exp()).ln()
    }

    /// Win rates seen, the reference not counted.
    pub fn n(&self) -> u64 {
        self.n
    }

    fn count(&mut self, cell: usize) {
        let mut at = cell + 1;
        while at <= CELLS {
            self.counts[at] += 1;
            at += at & at.wrapping_neg();
        }
        self.known += 1;
    }

    /// Win rates in the cells up to this one.
    fn up_to(&self, cell: usize) -> u64 {
        let (mut at, mut sum) = (cell + 1, 0);
        while at > 0 {
            sum += u64::from(self.counts[at]);
            at &= at - 1;
        }
        sum
    }
}

fn cell(win_rate: f64) -> usize {
    // What is not a number becomes 0 here.
    ((win_rate * CELLS as f64) as usize).min(CELLS - 1)
}

/// Money on "high", "even" and "low", of which a part moves each time: of all gamblers who have sat down, for what they do
/// is the same whoever's money it is.
#[derive(Debug, Clone, Copy)]
struct Jumper {
    log: f64,
    parts: [f64; 3],
}

impl Jumper {
    /// One more, with so much money (its ln).
    fn sit_down(&mut self, log: f64) {
        let top = self.log.max(log);
        let (own, new) = ((self.log - top).exp(), (log - top).exp());
        self.parts = self.parts.map(|part| (part * own + new / 3.0) / (own + new));
        self.log = top + (own + new).ln();
    }

    /// `x` is in -1/2..=1/2, and 0 on average where nothing has changed.
    fn bet(&mut self, x: f64) {
        let mut sum = 0.0;
        for (part, side) in self.parts.iter_mut().zip([1.0, 0.0, -1.0]) {
            *part = (1.0 - JUMP).mul_add(*part, JUMP / 3.0) * (1.0 + side * x);
            sum += *part;
        }
        self.log += sum.ln();
        self.parts = self.parts.map(|part| part / sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in 0..1 that look drawn.
    fn drawn(seed: u64, i: u64) -> f64 {
        (xxh3_64(&[seed.to_le_bytes(), i.to_le_bytes()].concat()) >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[test]
    fn the_same_traffic_raises_no_alarm() {
        // 200 streams at the level 0.05: more than 21 alarms have a chance of 0.0003.
        let alarms = (0..200)
            .filter(|&seed| {
                let reference: Vec<f64> = (0..500).map(|i| (drawn(seed, i) * 20.0).floor() / 20.0).collect();
                let mut drift = Drift::new(&reference);
                (500..3_000).any(|i| {
                    drift.push((drawn(seed, i) * 20.0).floor() / 20.0);
                    drift.log_e() >= 20_f64.ln()
                })
            })
            .count();
        assert!(alarms <= 21, "{alarms}");
    }

    #[test]
    fn a_shift_and_a_squeeze_are_found_after_a_long_good_time() {
        let shift = |x: f64| x.powf(1.5);
        let squeeze = |x: f64| 0.25 + x / 2.0;
        for changed in [&shift as &dyn Fn(f64) -> f64, &squeeze] {
            let mut drift = Drift::new(&[]);
            for i in 0..5_000 {
                drift.push(drawn(1, i));
            }
            assert!(drift.log_e() < 20_f64.ln());
            let found = (0..1_000).find(|&i| {
                drift.push(changed(drawn(2, i)));
                drift.log_e() >= 20_f64.ln()
            });
            assert!(found.is_some());
        }
    }

    /// What was found soon after a week is found soon after a year.
    #[test]
    fn a_long_good_time_does_not_make_it_blind() {
        let delay = |good: u64| {
            let mut drift = Drift::new(&[]);
            for i in 0..good {
                drift.push(drawn(5, i));
            }
            assert!(drift.log_e() < 20_f64.ln());
            (0..2_000).find(|&i| {
                drift.push(drawn(6, i).powf(1.5));
                drift.log_e() >= 20_f64.ln()
            })
        };
        let (week, year) = (delay(2_000).unwrap(), delay(60_000).unwrap());
        assert!(year < 600, "{week} {year}");
    }

    #[test]
    fn anything_may_come_as_a_win_rate() {
        let mut drift = Drift::new(&[f64::NAN, -1.0, 7.0]);
        (0..500).for_each(|_| drift.push(f64::INFINITY));
        assert!(drift.log_e().is_finite());
    }
}
