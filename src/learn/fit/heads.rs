//! A line for each model: what all have in common, what is its own, and who of the pair is ahead.
//!
//! Of two models the sum and the difference are fitted, each with a penalty of its own: the difference is what routing
//! lives on, and it is much weaker than how hard a prompt is for both. Of more models (or where rows lack outcomes) the
//! first few principal directions of the outcomes are fitted as shared latents, then what is left of each model, then
//! what is left of the difference of the pair. Every part is shrunk by its own evidence, so a part that the labels do
//! not support stays near nothing.

use super::ridge::{Spectrum, Trust};
use super::sums::{Sums, Target};
use super::{Design, Outcomes, Pair};
use crate::error::Result;
use crate::learn::Watch;
use crate::math::eigen::Eigen;
use crate::routers::fitted::Line;

/// Shared latents at most. Four were as good as any number on 28 models (`docs/fit.md`).
const LATENTS: usize = 4;
/// Products that the outcomes' covariance is made of at most; beyond, of the first rows only.
const MOST_PRODUCTS: usize = 1 << 29;

/// Lines of all models.
#[derive(Debug, Clone, PartialEq)]
pub struct Heads {
    /// One for each model.
    pub lines: Vec<Line>,
    /// What they share; a new model is fitted with them.
    pub latents: Vec<Line>,
}

/// Which half of the fit the shipped head has a say in.
#[derive(Debug, Clone, Copy)]
struct Trusts {
    difference: Trust,
    other: Trust,
}

/// Steps that [`fit`] tells of.
pub fn steps(models: usize) -> usize {
    models + 1
}

/// Fits all models on the given rows. Without `zero_shot` the shipped head has no say.
pub fn fit(
    design: &Design,
    outcomes: &Outcomes,
    pair: Pair,
    rows: &[u32],
    zero_shot: bool,
    watch: Watch,
) -> Result<Heads> {
    let trusts = if zero_shot {
        Trusts { difference: Trust::Difference, other: Trust::Either }
    } else {
        Trusts { difference: Trust::None, other: Trust::None }
    };
    let whole = Spectrum::of(&Sums::of(design, rows))?;
    let models = outcomes.models();
    let complete = (0..models).all(|model| outcomes.known(rows, model).len() == rows.len());
    if models == 2 && complete {
        return of_two(design, outcomes, pair, rows, &whole, trusts, watch);
    }
    let (loadings, latents) = latents(design, outcomes, rows, &whole, trusts)?;
    let mut seen = Seen { design, whole, rows, other: None };
    let mut lines = Vec::with_capacity(models);
    for model in 0..models {
        let mut line = Line::zero(design.width());
        latents.iter().zip(&loadings).for_each(|(latent, loading)| line.add(loading[model], latent));
        let known = outcomes.known(rows, model);
        let left = |row: u32| outcomes.at(row as usize, model) - value(&line, design, row);
        let own = seen.fit(&known, left, trusts.other)?;
        line.add(1.0, &own);
        if known.is_empty() {
            line.intercept += 0.5;
        }
        lines.push(line);
        watch(1)?;
    }
    let (strong, weak) = (pair.strong, pair.weak);
    let both: Vec<u32> =
        outcomes.known(rows, strong).into_iter().filter(|&row| !outcomes.at(row as usize, weak).is_nan()).collect();
    let left = |row: u32| {
        let expected = value(&lines[strong], design, row) - value(&lines[weak], design, row);
        outcomes.at(row as usize, strong) - outcomes.at(row as usize, weak) - expected
    };
    let difference = seen.fit(&both, left, trusts.difference)?;
    lines[strong].add(0.5, &difference);
    lines[weak].add(-0.5, &difference);
    watch(1)?;
    Ok(Heads { lines, latents })
}

/// A line's value on a prompt of the design.
pub(super) fn value(line: &Line, design: &Design, row: u32) -> f64 {
    let numbers = design.whole(row as usize);
    let (features, logit) = numbers.split_at(line.weights.len());
    let sum: f64 = line.weights.iter().zip(features).map(|(weight, &x)| weight * f64::from(x)).sum();
    line.intercept + line.alpha * f64::from(logit.first().copied().unwrap_or_default()) + sum
}

fn of_two(
    design: &Design,
    outcomes: &Outcomes,
    pair: Pair,
    rows: &[u32],
    whole: &Spectrum,
    trusts: Trusts,
    watch: Watch,
) -> Result<Heads> {
    let at = |row: u32| (outcomes.at(row as usize, pair.strong), outcomes.at(row as usize, pair.weak));
    let target = |pick: fn((f64, f64)) -> f64| Target::of(design, rows, |row| pick(at(row)));
    let sum = whole.line(&target(|(strong, weak)| strong + weak), trusts.other);
    watch(1)?;
    let difference = whole.line(&target(|(strong, weak)| strong - weak), trusts.difference);
    watch(2)?;
    let mut lines = vec![Line::zero(design.width()); 2];
    for (model, sign) in [(pair.strong, 0.5), (pair.weak, -0.5)] {
        lines[model].add(0.5, &sum);
        lines[model].add(sign, &difference);
    }
    Ok(Heads { lines, latents: vec![sum, difference] })
}

/// Decompositions by the rows they are of: most models are known on all rows, or on the same ones.
struct Seen<'a> {
    design: &'a Design,
    whole: Spectrum,
    rows: &'a [u32],
    other: Option<(Vec<u32>, Spectrum)>,
}

impl Seen<'_> {
    fn fit(&mut self, known: &[u32], value: impl Fn(u32) -> f64 + Sync, trust: Trust) -> Result<Line> {
        let target = Target::of(self.design, known, value);
        if known.len() == self.rows.len() {
            return Ok(self.whole.line(&target, trust));
        }
        if let Some((rows, spectrum)) = &self.other
            && rows == known
        {
            return Ok(spectrum.line(&target, trust));
        }
        let spectrum = Spectrum::of(&Sums::of(self.design, known))?;
        let line = spectrum.line(&target, trust);
        self.other = Some((known.to_vec(), spectrum));
        Ok(line)
    }
}

/// Loadings of the models on each latent, and the latents' lines.
type Latents = (Vec<Vec<f64>>, Vec<Line>);

fn latents(design: &Design, outcomes: &Outcomes, rows: &[u32], whole: &Spectrum, trusts: Trusts) -> Result<Latents> {
    let models = outcomes.models();
    let count = if models == 2 { 0 } else { LATENTS.min(models - 1) };
    if count == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    let means: Vec<f64> = (0..models).map(|model| outcomes.mean(rows, model)).collect();
    let eigen = Eigen::of(covariance(outcomes, rows, &means), models)?;
    let loadings: Vec<Vec<f64>> = eigen.vectors.chunks_exact(models).take(count).map(<[f64]>::to_vec).collect();
    // What the latents leave is noise; against it a row with few known outcomes is held back.
    let noise = eigen.values[count..].iter().sum::<f64>().max(0.0) / (models - count) as f64;
    let ratios: Vec<f64> = eigen.values[..count].iter().map(|value| noise / value.max(1e-9)).collect();
    let coordinates: Vec<f64> = rows
        .iter()
        .flat_map(|&row| {
            let left: Vec<f64> = (0..models).map(|model| outcomes.at(row as usize, model) - means[model]).collect();
            coordinates(&loadings, &ratios, &left)
        })
        .collect();
    let mut place = vec![u32::MAX; design.count()];
    rows.iter().enumerate().for_each(|(i, &row)| place[row as usize] = i as u32);
    let line = |k: usize| {
        let target = Target::of(design, rows, |row| coordinates[place[row as usize] as usize * count + k]);
        whole.line(&target, trusts.other)
    };
    Ok((loadings, (0..count).map(line).collect()))
}

/// Covariance of the models' outcomes, each entry over the rows on which both are known.
fn covariance(outcomes: &Outcomes, rows: &[u32], means: &[f64]) -> Vec<f64> {
    let models = outcomes.models();
    let (mut sums, mut counts) = (vec![0.0; models * models], vec![0.0_f64; models * models]);
    let most = (MOST_PRODUCTS / (models * models)).max(1);
    for &row in rows.iter().take(most) {
        let left: Vec<f64> = (0..models).map(|model| outcomes.at(row as usize, model) - means[model]).collect();
        for (a, &x) in left.iter().enumerate().filter(|(_, x)| !x.is_nan()) {
            for (b, &y) in left.iter().enumerate().filter(|(_, y)| !y.is_nan()) {
                sums[a * models + b] += x * y;
                counts[a * models + b] += 1.0;
            }
        }
    }
    sums.iter().zip(counts).map(|(sum, count)| if count > 0.0 { sum / count } else { 0.0 }).collect()
}

/// Where a row lies along the latents: a projection where all is known, else the best guess from what is.
fn coordinates(loadings: &[Vec<f64>], ratios: &[f64], left: &[f64]) -> Vec<f64> {
    let count = loadings.len();
    let known: Vec<usize> = (0..left.len()).filter(|&model| !left[model].is_nan()).collect();
    let along = |k: usize| known.iter().map(|&model| loadings[k][model] * left[model]).sum::<f64>();
    let mut right: Vec<f64> = (0..count).map(along).collect();
    if known.len() == left.len() {
        return right;
    }
    let mut matrix: Vec<Vec<f64>> = (0..count)
        .map(|a| {
            let product = |b: usize| known.iter().map(|&model| loadings[a][model] * loadings[b][model]).sum::<f64>();
            (0..count).map(|b| product(b) + if a == b { ratios[a] + 1e-6 } else { 0.0 }).collect()
        })
        .collect();
    // Elimination without pivots: the matrix is symmetric and positive.
    for pivot in 0..count {
        for row in pivot + 1..count {
            let factor = matrix[row][pivot] / matrix[pivot][pivot];
            let (above, below) = matrix.split_at_mut(row);
            for (entry, above) in below[0][pivot..].iter_mut().zip(&above[pivot][pivot..]) {
                *entry -= factor * above;
            }
            let above = right[pivot];
            right[row] -= factor * above;
        }
    }
    for row in (0..count).rev() {
        let after: f64 = (row + 1..count).map(|column| matrix[row][column] * right[column]).sum();
        right[row] = (right[row] - after) / matrix[row][row];
    }
    right
}
