//! How far chance moves a figure: rows drawn with replacement, every router on the same draws.
//!
//! A draw is a count for each row, so sorting happens once and each resample costs one pass over the rows. Thresholds
//! are quantiles of the resample itself: choosing them is part of what is repeated.

use super::curve::{Grid, Outcomes, Ranked};
use super::optimum::Optimum;
use crate::error::{Error, Result};
use crate::math::threads::share;

/// Numbers that all resamples together may fill: 512 MiB, which Python holds twice for a while.
const MOST_NUMBERS: usize = 1 << 26;

/// The curves of all resamples.
#[derive(Debug, Clone, PartialEq)]
pub struct Resamples {
    /// Points of each curve.
    pub points: usize,
    /// Numbers of one resample, see [`Resamples::values`].
    pub width: usize,
    /// For each resample: for each router the percentages of strong calls at its points (NaN where a point repeats the
    /// one before), then the means of each pair at its points; then, if asked for, the percentages and the quality of
    /// the optimum, from all calls to none; then for each pair the strong and the weak model's mean.
    pub values: Vec<f64>,
}

/// What is repeated, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Intervals between thresholds.
    pub results: usize,
    /// Resamples.
    pub times: usize,
    /// The number of the first, so that many may be made a part at a time.
    pub first: usize,
    /// The same seed draws the same rows, on any number of threads.
    pub seed: u64,
    /// Threads to use at most.
    pub threads: usize,
    /// Whether the optimum is wanted.
    pub optimum: bool,
}

/// Resamples the curves of `routers`, which rank the rows of `outcomes`.
pub fn resample(routers: &[Ranked], outcomes: &Outcomes, plan: Plan) -> Result<Resamples> {
    let grid = Grid::new(outcomes.rows(), plan.results)?;
    let points = grid.points();
    let optimum = plan.optimum.then(|| Optimum::new(&outcomes.pairs()[0]));
    let width = fits(routers, outcomes, plan, points, optimum.as_ref())?;
    let mut values = vec![0.0; width * plan.times];
    let study = Study { routers, outcomes, grid, optimum, results: plan.results };
    let work = std::sync::Mutex::new(values.chunks_exact_mut(width).enumerate());
    let next = || work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    share(plan.threads.min(plan.times), || {
        let mut counts = vec![0u32; outcomes.rows()];
        while let Some((index, row)) = next() {
            draw(plan.seed, (plan.first + index) as u64, &mut counts);
            study.fill(row, &counts);
        }
    });
    Ok(Resamples { points, width, values })
}

/// The numbers of one resample, where there is room for all of a plan's.
///
/// # Errors
/// As [`resample`].
pub fn check(routers: &[Ranked], outcomes: &Outcomes, plan: Plan) -> Result<usize> {
    let optimum = plan.optimum.then(|| Optimum::new(&outcomes.pairs()[0]));
    fits(routers, outcomes, plan, Grid::new(outcomes.rows(), plan.results)?.points(), optimum.as_ref())
}

fn fits(
    routers: &[Ranked],
    outcomes: &Outcomes,
    plan: Plan,
    points: usize,
    optimum: Option<&Optimum>,
) -> Result<usize> {
    let pairs = outcomes.pairs().len();
    let best = optimum.map_or(0, |optimum| 2 * optimum.points(plan.results));
    let width = routers.len() * points * (1 + pairs) + best + 2 * pairs;
    let size = width.checked_mul(plan.times).filter(|&size| size <= MOST_NUMBERS);
    size.map(|_| width)
        .ok_or_else(|| Error::value(format!("{} resamples of {width} numbers do not fit: ask for fewer", plan.times)))
}

struct Study<'a> {
    routers: &'a [Ranked],
    outcomes: &'a Outcomes,
    grid: Grid,
    optimum: Option<Optimum>,
    results: usize,
}

impl Study<'_> {
    fn fill(&self, row: &mut [f64], counts: &[u32]) {
        let n = self.outcomes.rows() as f64;
        let sum = |values: &[f64]| values.iter().zip(counts).map(|(value, &count)| value * f64::from(count)).sum();
        let totals: Vec<[f64; 2]> =
            self.outcomes.pairs().iter().map(|pair| [sum(&pair.strong), sum(&pair.weak)]).collect();
        let mut out = row.iter_mut();
        let mut put = |value: f64| {
            if let Some(place) = out.next() {
                *place = value;
            }
        };
        for router in self.routers {
            let curve = router.resampled(&self.grid, &totals, counts);
            for k in 0..curve.strong.len() {
                put(if curve.repeats(k) { f64::NAN } else { curve.strong[k] as f64 / n * 100.0 });
            }
            curve.means.iter().flatten().for_each(|&value| put(value));
        }
        if let Some(optimum) = &self.optimum {
            let (fractions, quality) = optimum.resampled(totals[0][1], self.results, counts);
            fractions.iter().rev().for_each(|&fraction| put(fraction * 100.0));
            quality.iter().rev().for_each(|&value| put(value));
        }
        totals.iter().flatten().for_each(|&total| put(total / n));
    }
}

/// How often each row occurs in resample `index`: as many draws as there are rows.
fn draw(seed: u64, index: u64, counts: &mut [u32]) {
    counts.fill(0);
    let rows = counts.len() as u128;
    // A sequence of its own for each resample, wherever it is computed.
    let mut state = mix(seed).wrapping_add(mix(!index));
    for _ in 0..counts.len() {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let row = (u128::from(mix(state)) * rows) >> 64;
        counts[row as usize] += 1;
    }
}

/// The output function of `SplitMix64` (Steele, Lea and Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::curve::Pair;
    use super::*;

    fn study() -> (Vec<Ranked>, Outcomes) {
        let rows = 101;
        let strong = (0..rows).map(|row| f64::from(u8::from(row % 3 != 0))).collect();
        let weak = (0..rows).map(|row| f64::from(u8::from(row % 2 == 0))).collect();
        let costs = Pair { strong: vec![2.0; rows], weak: vec![0.5; rows] };
        let outcomes = Outcomes::new(vec![Pair { strong, weak }, costs]).unwrap();
        let rates: Vec<f64> = (0..rows).map(|row| (row * 37 % 101) as f64 / 101.0).collect();
        (vec![Ranked::new(&rates, &outcomes).unwrap()], outcomes)
    }

    const PLAN: Plan = Plan { results: 5, times: 40, first: 0, seed: 7, threads: 1, optimum: true };

    #[test]
    fn threads_change_nothing() {
        let (routers, outcomes) = study();
        let one = resample(&routers, &outcomes, PLAN).unwrap();
        let two = resample(&routers, &outcomes, Plan { threads: 8, ..PLAN }).unwrap();
        assert_eq!(one, two);
        assert_ne!(one, resample(&routers, &outcomes, Plan { seed: 8, ..PLAN }).unwrap());
        // One kink: all gains are 1.
        assert_eq!(one.width, 6 * 3 + 2 * 102 + 4);
    }

    #[test]
    fn a_draw_has_as_many_rows_as_there_are() {
        let mut counts = vec![9; 57];
        draw(3, 0, &mut counts);
        assert_eq!(counts.iter().sum::<u32>(), 57);
        let first = counts.clone();
        draw(3, 1, &mut counts);
        assert_ne!(counts, first);
        // Rows left out are about a third of them.
        let mut many = vec![0; 100_000];
        draw(0, 0, &mut many);
        let left = many.iter().filter(|&&count| count == 0).count() as f64 / 1e5;
        assert!((left - (-1.0f64).exp()).abs() < 0.01, "{left}");
    }

    #[test]
    fn costs_follow_the_share() {
        let (routers, outcomes) = study();
        let all = resample(&routers, &outcomes, PLAN).unwrap();
        for row in all.values.chunks_exact(all.width) {
            for k in 0..all.points {
                let share = row[k] / 100.0;
                assert!((row[2 * all.points + k] - (0.5 + 1.5 * share)).abs() < 1e-12);
            }
            let (percent, best) = row[3 * all.points..all.width - 4].split_at(102);
            assert_eq!((percent[0], percent[101]), (100.0, 0.0));
            assert!(best.windows(2).all(|two| two[0] >= two[1]), "more calls never harm the optimum");
            let means = &row[all.width - 4..];
            assert_eq!((best[101], row[all.points]), (means[1], means[0]));
        }
    }

    #[test]
    fn too_much_is_refused() {
        let (routers, outcomes) = study();
        let error = resample(&routers, &outcomes, Plan { times: usize::MAX, ..PLAN }).unwrap_err();
        assert!(error.message().contains("do not fit"));
        let parts = [(0, 15), (15, 25)]
            .map(|(first, times)| resample(&routers, &outcomes, Plan { times, first, ..PLAN }).unwrap().values);
        assert_eq!(parts.concat(), resample(&routers, &outcomes, PLAN).unwrap().values);
        assert!(resample(&routers, &outcomes, Plan { times: 0, ..PLAN }).unwrap().values.is_empty());
    }
}
