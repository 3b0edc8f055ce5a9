//! What a fit is worth on prompts it has not seen, and what it would be worth by chance.

use super::heads::{self, value};
use super::ridge::{Spectrum, Trust};
use super::shuffles::Shuffles;
use super::sums::{Sums, Target};
use super::{Design, Outcomes, Pair};
use crate::error::{Error, Result};
use crate::learn::Watch;
use crate::learn::noise::Key;
use crate::math::eigen::dot;
use crate::math::threads::share;
use crate::routers::fitted::near::Neighbours;

/// Where shuffles get their numbers from, apart from folds.
const SHUFFLES: u64 = 1;
/// One in so many shuffles that reach the labels' figure is too many for any signal.
const NO_SIGNAL: usize = 10;
/// Rows of a task of the neighbours.
const BATCH: usize = 64;

/// Each row's scores by heads that were fitted without its fold, `[n, models]`.
///
/// A fold's mean is never the mean of the rest: left alone, rows of a fold that did well by chance would all get a
/// little less than those of the others, and a router of no worth would look worse than random. So every fold's lines
/// are set to the same mean over all rows, which changes no order within a fold.
pub fn heads(
    design: &Design,
    outcomes: &Outcomes,
    pair: Pair,
    folds: &[u32],
    zero_shot: bool,
    watch: Watch,
) -> Result<Vec<f64>> {
    let models = outcomes.models();
    let all: Vec<u32> = (0..design.count() as u32).collect();
    let means: Vec<f64> = (0..models).map(|model| outcomes.mean(&all, model)).collect();
    let centre = centre(design);
    let mut out = vec![0.0; design.count() * models];
    for (kept, held) in parts(folds) {
        let found = heads::fit(design, outcomes, pair, &kept, zero_shot, watch)?;
        for (model, line) in found.lines.iter().enumerate() {
            let shift = means[model] - line.value(&centre[..design.width()], centre[design.width()]);
            for &row in &held {
                out[row as usize * models + model] = value(line, design, row) + shift;
            }
        }
    }
    Ok(out)
}

/// The same by nearest neighbours.
pub fn neighbours(
    design: &Design,
    outcomes: &Outcomes,
    folds: &[u32],
    (k, guard): (usize, f64),
    watch: Watch,
) -> Result<Vec<f64>> {
    let models = outcomes.models();
    let mut out = vec![0.0; design.count() * models];
    for (kept, held) in parts(folds) {
        let near = store(design, outcomes, &kept, k, guard);
        let mut found = vec![0.0; held.len() * models];
        for (rows, scores) in held.chunks(16 * BATCH).zip(found.chunks_mut(16 * BATCH * models)) {
            let work = std::sync::Mutex::new(rows.chunks(BATCH).zip(scores.chunks_mut(BATCH * models)));
            let next = || work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
            share(design.threads, || {
                while let Some((rows, scores)) = next() {
                    for (&row, scores) in rows.iter().zip(scores.chunks_exact_mut(models)) {
                        near.fill(design.row(row as usize), scores);
                    }
                }
            });
            watch(0)?;
        }
        for (&row, scores) in held.iter().zip(found.chunks_exact(models)) {
            out[row as usize * models..][..models].copy_from_slice(scores);
        }
        watch(1)?;
    }
    Ok(out)
}

/// Rows to look for neighbours among. An unknown outcome counts as the model's mean.
pub fn store(design: &Design, outcomes: &Outcomes, rows: &[u32], k: usize, guard: f64) -> Neighbours {
    let models = outcomes.models();
    let means: Vec<f64> = (0..models).map(|model| outcomes.mean(rows, model)).collect();
    let features = rows.iter().flat_map(|&row| design.row(row as usize).iter().copied()).collect();
    let known = |row: u32, model: usize| {
        let value = outcomes.at(row as usize, model);
        (if value.is_nan() { means[model] } else { value }) as f32
    };
    let scores = rows.iter().flat_map(|&row| (0..models).map(move |model| (row, model)));
    let scores = scores.map(|(row, model)| known(row, model)).collect();
    Neighbours::new(design.width(), models, k, guard, features, scores)
}

/// How often shuffled labels are predicted as well as the real ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chance {
    /// How well held-out differences are predicted: a correlation, up to its scale.
    pub statistic: f64,
    /// Share of the shuffles that reach it, the real labels counted as one; 1 where nothing can be said.
    pub p_value: f64,
}

/// The permutation test of the pair's difference: refitted and cross-validated on `times` shuffles of the labels.
///
/// It needs no assumption on how held-out scores of different folds depend on each other, which is where simpler tests
/// of cross-validated figures go wrong. Only rows with both outcomes take part.
///
/// Each shuffle is done twice: labels change places, and they take either sign where they are ([`super::shuffles`]).
/// The first fails where prompts that are alike spread alike, the second where few labels are on one side; the share
/// is the larger of both.
pub fn chance(
    design: &Design,
    outcomes: &Outcomes,
    pair: Pair,
    (folds, units): (&[u32], &[u32]),
    (times, seed): (usize, u64),
    zero_shot: bool,
    watch: Watch,
) -> Result<Chance> {
    let difference: Vec<f64> =
        (0..design.count()).map(|row| outcomes.at(row, pair.strong) - outcomes.at(row, pair.weak)).collect();
    let rows: Vec<u32> = (0..design.count() as u32).filter(|&row| !difference[row as usize].is_nan()).collect();
    let nothing = Chance { statistic: 0.0, p_value: 1.0 };
    let held: Vec<Vec<u32>> = parts(folds)
        .into_iter()
        .map(|(_, held)| held.into_iter().filter(|&row| !difference[row as usize].is_nan()).collect())
        .collect();
    if rows.len() < 4 || held.iter().filter(|held| !held.is_empty()).count() < 2 {
        return Ok(nothing);
    }
    let trust = if zero_shot { Trust::Difference } else { Trust::None };
    let sums: Vec<Sums> = held.iter().map(|held| Sums::of(design, held)).collect();
    let mut total = sums[0].clone();
    sums[1..].iter().for_each(|part| total.add(1.0, part));
    let mut spectra = Vec::with_capacity(sums.len());
    for part in &sums {
        let mut rest = total.clone();
        rest.add(-1.0, part);
        spectra.push(Spectrum::of(&rest)?);
        watch(0)?;
    }
    let study = Study { design, held: &held, sums: &sums, spectra: &spectra, trust };
    let shuffles = Shuffles::new(&difference, units, &rows);
    let statistic = study.statistic(&difference);
    if statistic <= 0.0 {
        return Ok(Chance { statistic, p_value: 1.0 });
    }
    let key = Key::new(seed).part(SHUFFLES);
    let (mut exchanged, mut flipped) = (1_usize, 1_usize);
    let mut labels = difference.clone();
    for time in 0..times {
        let key = key.part(time as u64);
        shuffles.exchange(key, &mut labels);
        exchanged += usize::from(study.statistic(&labels) >= statistic);
        // Once exchanging says chance, signs have nothing to add.
        if exchanged * NO_SIGNAL <= times + NO_SIGNAL {
            shuffles.flip(key, &mut labels);
            flipped += usize::from(study.statistic(&labels) >= statistic);
        }
        watch(1)?;
    }
    Ok(Chance { statistic, p_value: exchanged.max(flipped) as f64 / (times + 1) as f64 })
}

struct Study<'a> {
    design: &'a Design,
    held: &'a [Vec<u32>],
    sums: &'a [Sums],
    spectra: &'a [Spectrum],
    trust: Trust,
}

impl Study<'_> {
    /// Covariance of held-out scores and labels within folds, over the deviation of the scores.
    fn statistic(&self, labels: &[f64]) -> f64 {
        let width = self.design.width();
        let targets: Vec<Target> =
            self.held.iter().map(|held| Target::of(self.design, held, |row| labels[row as usize])).collect();
        let mut total = targets[0].clone();
        targets[1..].iter().for_each(|part| total.add(1.0, part));
        let (mut together, mut alone) = (0.0, 0.0);
        for ((part, sums), spectrum) in targets.iter().zip(self.sums).zip(self.spectra) {
            if sums.count < 1.0 {
                continue;
            }
            let mut rest = total.clone();
            rest.add(-1.0, part);
            let line = spectrum.line(&rest, self.trust);
            let mean = part.total / sums.count;
            let mut weights = line.weights;
            weights.push(line.alpha);
            let centred: Vec<f64> = part.products.iter().zip(&sums.totals).map(|(xy, x)| xy - mean * x).collect();
            together += dot(&weights, &centred);
            let score = dot(&weights, &sums.totals);
            let square: f64 = sums
                .products
                .chunks_exact(width + 1)
                .zip(&weights)
                .map(|(row, weight)| if *weight == 0.0 { 0.0 } else { weight * dot(row, &weights) })
                .sum();
            alone += (square - score * score / sums.count).max(0.0);
        }
        if alone > 0.0 { together / alone.sqrt() } else { 0.0 }
    }
}

/// For each fold the rows outside and inside.
fn parts(folds: &[u32]) -> Vec<(Vec<u32>, Vec<u32>)> {
    let count = folds.iter().max().map_or(0, |&fold| fold + 1);
    let rows = || 0..folds.len() as u32;
    (0..count).map(|fold| rows().partition(|&row| folds[row as usize] != fold)).collect()
}

/// Mean of every number of the design, the logit last.
fn centre(design: &Design) -> Vec<f64> {
    let mut sums = vec![0.0; design.width() + 1];
    for row in 0..design.count() {
        sums.iter_mut().zip(design.whole(row)).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    sums.iter().map(|sum| sum / design.count().max(1) as f64).collect()
}

/// An error unless there is a fold and a unit for each row.
pub fn check(design: &Design, outcomes: &Outcomes, pair: Pair, per_row: &[&[u32]]) -> Result<()> {
    let n = design.count();
    if outcomes.count() != n || per_row.iter().any(|given| given.len() != n) {
        return Err(Error::value(format!("expected outcomes, folds and groups of {n} prompts")));
    }
    // Room is made for each number up to the highest.
    if let Some(beyond) = per_row.iter().flat_map(|given| given.iter()).find(|&&number| number as usize >= n) {
        return Err(Error::value(format!(
            "expected folds and groups below {n}, the number of prompts; found {beyond}"
        )));
    }
    if pair.strong == pair.weak || pair.strong.max(pair.weak) >= outcomes.models() {
        return Err(Error::value("strong and weak are not two of the models"));
    }
    Ok(())
}
