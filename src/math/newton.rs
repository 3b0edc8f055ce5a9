//! Ratings from won and lost comparisons (Bradley-Terry), solved to the optimum by Newton's method.
//!
//! The data are sums of weights, one for each ordered pair of labels, so the cost does not depend on how many
//! comparisons there were. A label may also be compared with zero itself: that is one more player whose rating is
//! fixed.
//!
//! An exact optimum need not be unique, or finite:
//!
//! - Labels that are compared with each other but never, not even by way of others, with zero can be shifted together
//!   freely. Of all optima the one with the smallest norm is taken: the ratings of such a group sum to 0. A label that
//!   was never compared has the rating 0.
//! - Where some labels of a group never lost to the others, the likelihood grows for ever with the distance between
//!   them. Such a group is held together by [`RIDGE`], a penalty so small that it puts them about a thousand Elo apart
//!   and moves the others by some hundredths of a point. Groups without that defect are not penalised.

use std::cmp::Ordering;

use crate::error::{Error, Result};

/// Half the factor of the squared ratings that is added to the mean loss of a group without a finite optimum.
pub const RIDGE: f64 = 1e-6;

/// The most labels: the solver's matrices are dense, and those of this many take 128 MiB.
pub const MOST_LABELS: usize = 4096;

/// A step this small is the last one: the error left after it is its square.
const SMALL_STEP: f64 = 1e-8;

/// Newton's method needs about six steps; a group whose weights span the whole range of f64 may take some hundred.
const MOST_STEPS: usize = 400;

/// Longest step in one coordinate, in units of the logit.
const LONGEST_STEP: f64 = 8.0;

/// Sums of weights: how much label `i` won against label `j`, and against zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparisons {
    labels: usize,
    /// `[labels + 1, labels + 1]`: wins of the row against the column; the last one is zero.
    wins: Vec<f64>,
}

/// Who won a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Winner {
    /// The first one.
    A,
    /// The second one.
    B,
    /// Neither: half a win for each.
    Tie,
}

impl Winner {
    /// From 0, 1 or 2.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::A, Self::B, Self::Tie].get(usize::from(code)).copied()
    }

    /// 0, 1 or 2.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl Comparisons {
    /// No comparisons between `labels` labels.
    ///
    /// # Errors
    /// `Kind::Value` for more than [`MOST_LABELS`].
    pub fn new(labels: usize) -> Result<Self> {
        if labels > MOST_LABELS {
            return Err(Error::value(format!("expected at most {MOST_LABELS} different labels, found {labels}")));
        }
        Ok(Self { labels, wins: vec![0.0; (labels + 1) * (labels + 1)] })
    }

    /// Number of labels.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Forgets all comparisons.
    pub fn clear(&mut self) {
        self.wins.fill(0.0);
    }

    /// Adds a battle of the given weight, which counts twice, as in `RouteLLM`.
    ///
    /// A battle of a label with itself is what `RouteLLM` makes of it: its row of the regression holds only the entry
    /// of the second side, so it compares zero (the first side) with the label (the second).
    pub fn battle(&mut self, a: usize, b: usize, winner: Winner, weight: f64) {
        let side = self.labels + 1;
        if a >= self.labels || b >= self.labels {
            return;
        }
        let first = if a == b { self.labels } else { a };
        let (mut won, mut lost) = (0.0, 0.0);
        match winner {
            Winner::A => won = 2.0 * weight,
            Winner::B => lost = 2.0 * weight,
            Winner::Tie => (won, lost) = (weight, weight),
        }
        self.wins[first * side + b] += won;
        self.wins[b * side + first] += lost;
    }

    /// The ratings, in units of the logit: a difference of `x` is a probability of `1 / (1 + exp(-x))`.
    ///
    /// Always finite. `start` is where to begin, for instance the ratings of similar weights; it does not change the
    /// result beyond its last digits.
    ///
    /// # Errors
    /// `Kind::Value` when a sum of weights is negative, infinite or NaN.
    pub fn fit(&self, start: Option<&[f64]>) -> Result<Vec<f64>> {
        let total: f64 = self.wins.iter().sum();
        if let Some(bad) = self.wins.iter().find(|sum| !(sum.is_finite() && **sum >= 0.0)) {
            return Err(Error::value(format!("weights must be finite and not negative; their sums hold {bad}")));
        }
        if !total.is_finite() {
            return Err(Error::value("the sum of the weights is beyond the range of float64"));
        }
        let mut ratings = vec![0.0; self.labels];
        if total <= 0.0 {
            return Ok(ratings);
        }
        for group in self.groups() {
            let start = start.filter(|start| start.len() == self.labels);
            Group::new(self, &group, total).solve(start, &mut ratings);
        }
        Ok(ratings)
    }

    /// The labels (and zero) that are compared with each other, directly or by way of others.
    fn groups(&self) -> Vec<Vec<usize>> {
        let side = self.labels + 1;
        let mut seen = vec![false; side];
        let mut groups = Vec::new();
        for first in 0..side {
            if seen[first] {
                continue;
            }
            let met = |i: usize, j: usize| self.wins[i * side + j] > 0.0 || self.wins[j * side + i] > 0.0;
            let group = reach(side, first, &mut seen, met);
            if group.len() > 1 {
                groups.push(group);
            }
        }
        groups
    }
}

/// All that can be reached from `first` by steps that `leads` allows, sorted.
fn reach(side: usize, first: usize, seen: &mut [bool], leads: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut found = vec![first];
    seen[first] = true;
    let mut next = 0;
    while let Some(&i) = found.get(next) {
        next += 1;
        for (j, seen) in seen.iter_mut().enumerate().take(side) {
            if !*seen && leads(i, j) {
                *seen = true;
                found.push(j);
            }
        }
    }
    found.sort_unstable();
    found
}

/// One connected group, without its fixed member.
struct Group {
    /// Labels of the coordinates; zero, if it belongs to the group, is none.
    labels: Vec<usize>,
    /// `[side, side]` wins as a share of all weights; `side` is one more than the coordinates if zero takes part.
    wins: Vec<f64>,
    side: usize,
    ridge: f64,
}

impl Group {
    fn new(all: &Comparisons, members: &[usize], total: f64) -> Self {
        let all_side = all.labels + 1;
        let side = members.len();
        let mut wins = Vec::with_capacity(side * side);
        for &i in members {
            wins.extend(members.iter().map(|&j| all.wins[i * all_side + j] / total));
        }
        // A finite optimum exists where everybody has lost to everybody, directly or by way of others.
        let whole = |leads: &dyn Fn(usize, usize) -> bool| reach(side, 0, &mut vec![false; side], leads).len() == side;
        let beats = |i: usize, j: usize| wins[i * side + j] > 0.0;
        let finite = whole(&beats) && whole(&|i, j| beats(j, i));
        let labels = members.iter().copied().filter(|&label| label < all.labels).collect();
        Self { labels, wins, side, ridge: if finite { 0.0 } else { RIDGE } }
    }

    fn has_zero(&self) -> bool {
        self.labels.len() < self.side
    }

    fn solve(mut self, start: Option<&[f64]>, ratings: &mut [f64]) {
        let size = self.labels.len();
        let begin: Vec<f64> = self.labels.iter().map(|&label| start.map_or(0.0, |start| start[label])).collect();
        let usable = begin.iter().all(|x| x.abs() < 50.0);
        let found = usable.then(|| self.newton(begin)).flatten();
        let found = found.or_else(|| self.newton(vec![0.0; size])).or_else(|| {
            // The weights are so uneven that f64 cannot tell the optimum from a plateau.
            self.ridge = RIDGE;
            self.newton(vec![0.0; size])
        });
        let mut found = found.unwrap_or_else(|| vec![0.0; size]);
        if !self.has_zero() {
            let mean = found.iter().sum::<f64>() / size as f64;
            for x in &mut found {
                *x -= mean;
            }
        }
        for (&label, x) in self.labels.iter().zip(found) {
            ratings[label] = x;
        }
    }

    /// None when no optimum was reached.
    fn newton(&self, mut x: Vec<f64>) -> Option<Vec<f64>> {
        let size = x.len();
        let (mut gradient, mut hessian) = (vec![0.0; size], vec![0.0; size * size]);
        let mut loss = self.derivatives(&x, &mut gradient, &mut hessian);
        for _ in 0..MOST_STEPS {
            let mut step: Vec<f64> = gradient.iter().map(|g| -g).collect();
            self.direction(&mut hessian, &mut step)?;
            let longest = step.iter().fold(0.0, |longest: f64, s| longest.max(s.abs()));
            if !longest.is_finite() {
                return None;
            }
            let slope: f64 = step.iter().zip(&gradient).map(|(s, g)| s * g).sum();
            let mut scale = (LONGEST_STEP / longest).min(1.0);
            loop {
                let tried: Vec<f64> = x.iter().zip(&step).map(|(x, s)| x + scale * s).collect();
                if longest * scale < SMALL_STEP {
                    // Too small to show in the loss.
                    return Some(if scale >= 1.0 { tried } else { x }).filter(|x| x.iter().all(|x| x.is_finite()));
                }
                let new = self.derivatives(&tried, &mut gradient, &mut hessian);
                if new <= loss + 1e-4 * scale * slope + 4.0 * f64::EPSILON * loss.abs() {
                    (x, loss) = (tried, new);
                    break;
                }
                scale *= 0.5;
            }
        }
        None
    }

    /// The loss at `x`, its gradient and its second derivatives (the lower half).
    fn derivatives(&self, x: &[f64], gradient: &mut [f64], hessian: &mut [f64]) -> f64 {
        let size = x.len();
        let half = 0.5 * self.ridge;
        let mut loss = half * x.iter().map(|x| x * x).sum::<f64>();
        hessian.fill(0.0);
        for (i, (g, &x)) in gradient.iter_mut().zip(x).enumerate() {
            *g = self.ridge * x;
            hessian[i * size + i] = self.ridge;
        }
        for i in 0..self.side {
            for j in 0..i {
                let (mine, yours) = (self.wins[i * self.side + j], self.wins[j * self.side + i]);
                let both = mine + yours;
                if both <= 0.0 {
                    continue;
                }
                // Zero comes last, so only `i` can be it.
                let difference = x.get(i).copied().unwrap_or(0.0) - x[j];
                let small = (-difference.abs()).exp();
                let (likely, unlikely) = (1.0 / (1.0 + small), small / (1.0 + small));
                let (above, below) = if difference >= 0.0 { (likely, unlikely) } else { (unlikely, likely) };
                let softplus = small.ln_1p();
                loss += mine * (softplus + (-difference).max(0.0)) + yours * (softplus + difference.max(0.0));
                // Not `both * above - mine`, which cancels where one side wins almost always.
                let pull = yours * above - mine * below;
                let curve = both * above * below;
                gradient[j] -= pull;
                hessian[j * size + j] += curve;
                if i < size {
                    gradient[i] += pull;
                    hessian[i * size + i] += curve;
                    hessian[i * size + j] -= curve;
                }
            }
        }
        loss
    }

    /// Turns the negative gradient in `step` into Newton's step; `hessian` is overwritten.
    fn direction(&self, hessian: &mut [f64], step: &mut [f64]) -> Option<()> {
        let size = step.len();
        let largest = (0..size).map(|i| hessian[i * size + i]).max_by(f64::total_cmp).unwrap_or(0.0);
        if !self.has_zero() && self.ridge == 0.0 {
            // The free shift, made stiff: the gradient has no part in it, so the step gets none.
            let stiff = largest / size as f64;
            for i in 0..size {
                hessian[i * size..=i * size + i].iter_mut().for_each(|h| *h += stiff);
            }
        }
        for i in 0..size {
            for j in 0..=i {
                let (done, row) = hessian.split_at_mut(i * size);
                let other = if j == i { None } else { Some(&done[j * size..j * size + j]) };
                let products: f64 = match other {
                    Some(other) => row[..j].iter().zip(other).map(|(a, b)| a * b).sum(),
                    None => row[..i].iter().map(|a| a * a).sum(),
                };
                let rest = row[j] - products;
                row[j] = if j < i {
                    rest / done[j * size + j]
                } else {
                    // Rounding may eat a pivot whole; then the step along it is short instead of wild.
                    let floor = row[i] * 1e-14;
                    match rest.partial_cmp(&floor) {
                        Some(Ordering::Greater) => rest.sqrt(),
                        Some(_) if floor > 0.0 => floor.sqrt(),
                        _ => return None,
                    }
                };
            }
        }
        for i in 0..size {
            let known: f64 = (0..i).map(|j| hessian[i * size + j] * step[j]).sum();
            step[i] = (step[i] - known) / hessian[i * size + i];
        }
        for i in (0..size).rev() {
            let known: f64 = (i + 1..size).map(|j| hessian[j * size + i] * step[j]).sum();
            step[i] = (step[i] - known) / hessian[i * size + i];
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(labels: usize, battles: &[(usize, usize, Winner, f64)]) -> Vec<f64> {
        let mut comparisons = Comparisons::new(labels).unwrap();
        for &(a, b, winner, weight) in battles {
            comparisons.battle(a, b, winner, weight);
        }
        let found = comparisons.fit(None).unwrap();
        assert!(found.iter().all(|x| x.is_finite()), "{found:?}");
        found
    }

    /// The gradient of the mean loss over single rows, as the regression has them.
    fn gradient(labels: usize, battles: &[(usize, usize, Winner, f64)], x: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; labels];
        let total: f64 = battles.iter().map(|battle| 2.0 * battle.3).sum();
        for &(a, b, winner, weight) in battles {
            let mut row = vec![0.0; labels];
            row[a] = 1.0;
            row[b] = -1.0;
            let logit: f64 = row.iter().zip(x).map(|(r, x)| r * x).sum();
            for copy in 0..2 {
                let target = f64::from(winner == Winner::A || winner == Winner::Tie && copy == 0);
                let slope = weight / total * (1.0 / (1.0 + (-logit).exp()) - target);
                sums.iter_mut().zip(&row).for_each(|(sum, r)| *sum += slope * r);
            }
        }
        sums
    }

    fn random_battles(labels: usize, count: usize, seed: u32) -> Vec<(usize, usize, Winner, f64)> {
        let mut state = seed;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        let labels = labels as u32;
        let winners = [Winner::A, Winner::B, Winner::Tie, Winner::A];
        (0..count)
            .map(|_| {
                let weight = f64::from(next(900) + 100) / 10.0;
                (next(labels) as usize, next(labels) as usize, winners[next(4) as usize], weight)
            })
            .collect()
    }

    #[test]
    fn the_gradient_vanishes_at_the_optimum() {
        for (labels, count, seed) in [(2, 40, 1), (10, 700, 2), (10, 90, 3), (40, 3000, 4), (3, 9, 5)] {
            let battles = random_battles(labels, count, seed);
            let found = fitted(labels, &battles);
            let worst = gradient(labels, &battles, &found).into_iter().fold(0.0, |worst: f64, g| worst.max(g.abs()));
            assert!(worst < 1e-14, "{labels} labels: {worst:e}");
        }
    }

    #[test]
    fn a_start_does_not_change_the_result() {
        let battles = random_battles(10, 700, 9);
        let mut comparisons = Comparisons::new(10).unwrap();
        for &(a, b, winner, weight) in &battles {
            comparisons.battle(a, b, winner, weight);
        }
        let cold = comparisons.fit(None).unwrap();
        for start in [vec![1.0; 10], (0..10).map(f64::from).collect(), vec![f64::NAN; 10], vec![0.0; 3]] {
            let warm = comparisons.fit(Some(&start)).unwrap();
            assert!(cold.iter().zip(&warm).all(|(a, b)| (a - b).abs() < 1e-12), "{cold:?} {warm:?}");
        }
    }

    #[test]
    fn a_free_shift_is_spent_on_the_smallest_norm() {
        let battles: Vec<_> = random_battles(8, 300, 6).into_iter().filter(|battle| battle.0 != battle.1).collect();
        let found = fitted(8, &battles);
        assert!(found.iter().sum::<f64>().abs() < 1e-12, "{found:?}");
        // Two groups that never met, and one label that met nobody.
        let two = [(0, 1, Winner::A, 3.0), (1, 0, Winner::A, 1.0), (2, 3, Winner::A, 1.0), (2, 3, Winner::B, 1.0)];
        let found = fitted(5, &two);
        let expected = [0.5 * 3.0_f64.ln(), -0.5 * 3.0_f64.ln(), 0.0, 0.0, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    }

    #[test]
    fn a_label_against_itself_is_compared_with_zero() {
        // Won three times as often by the second side: the rating is ln 3, and the tie pulls it down.
        let found = fitted(1, &[(0, 0, Winner::B, 3.0), (0, 0, Winner::A, 1.0)]);
        assert!((found[0] - 3.0_f64.ln()).abs() < 1e-12, "{found:?}");
        let found = fitted(1, &[(0, 0, Winner::B, 3.0), (0, 0, Winner::A, 1.0), (0, 0, Winner::Tie, 4.0)]);
        assert!((found[0] - (10.0_f64 / 6.0).ln()).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn winners_of_everything_are_far_but_finite() {
        let mut battles = random_battles(6, 400, 7);
        let before = fitted(6, &battles);
        battles.extend((0..6).map(|loser| (6, loser, Winner::A, 1.0)));
        battles.extend((0..6).map(|winner| (7, winner, Winner::B, 1.0)));
        let found = fitted(8, &battles);
        assert!(found[6] - found[0] > 2.0 && found[6] - found[0] < 14.0, "{found:?}");
        assert!(found[7] - found[0] < -2.0 && found[7] - found[0] > -14.0, "{found:?}");
        assert!(before.iter().zip(&found).all(|(a, b)| (a - b).abs() < 0.02), "{before:?} {found:?}");
        assert!(fitted(2, &[(0, 1, Winner::A, 1.0)])[0] > 3.0);
    }

    #[test]
    fn weights_of_any_size_give_finite_ratings() {
        for exponent in [-320, -300, -200, -100, -16, 0, 16, 100, 200] {
            let mut battles = random_battles(10, 300, 8);
            for (index, battle) in battles.iter_mut().enumerate() {
                if index % 3 == 0 {
                    battle.3 *= 10_f64.powi(exponent);
                }
            }
            fitted(10, &battles);
            // Only one label keeps a weight worth the name.
            for battle in &mut battles {
                battle.3 = if battle.0 == 3 { 1.0 } else { 10_f64.powi(exponent.min(0)) };
            }
            fitted(10, &battles);
        }
        assert_eq!(fitted(3, &[(0, 1, Winner::A, 0.0)]), [0.0; 3]);
    }

    #[test]
    fn weights_that_are_none_are_errors() {
        for weight in [f64::NAN, f64::INFINITY, -1.0, f64::MAX] {
            let mut comparisons = Comparisons::new(2).unwrap();
            comparisons.battle(0, 1, Winner::A, weight);
            assert!(comparisons.fit(None).is_err(), "{weight}");
        }
        assert!(Comparisons::new(MOST_LABELS + 1).is_err());
    }
}
