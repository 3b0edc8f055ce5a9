//! One more model on top of a finished fit.
//!
//! What the other models share says most about a new one: its outcomes are explained by the latents first (a handful of
//! numbers, so a few hundred labels do), and the features get what is left, as far as the labels support it.

use super::Design;
use super::ridge::{Spectrum, Trust};
use super::sums::{Sums, Target};
use crate::error::Result;
use crate::routers::fitted::Line;

/// The line of a new model with `outcomes` on the prompts of a design made with the fit's own recipe.
pub fn line(design: &Design, latents: &[Line], outcomes: &[f64]) -> Result<Line> {
    let rows: Vec<u32> = (0..design.count() as u32).collect();
    let mut line = Line::zero(design.width());
    if !latents.is_empty() {
        shared(design, latents, outcomes, &rows, &mut line)?;
    }
    let left = |row: u32| outcomes[row as usize] - super::heads::value(&line, design, row);
    let own = Spectrum::of(&Sums::of(design, &rows))?.line(&Target::of(design, &rows, left), Trust::Either);
    line.add(1.0, &own);
    Ok(line)
}

/// Adds what the latents explain.
fn shared(design: &Design, latents: &[Line], outcomes: &[f64], rows: &[u32], line: &mut Line) -> Result<()> {
    let count = latents.len();
    let values: Vec<f64> =
        rows.iter().flat_map(|&row| latents.iter().map(move |l| super::heads::value(l, design, row))).collect();
    let n = rows.len().max(1) as f64;
    let mut scales = Vec::with_capacity(count);
    for k in 0..count {
        let column = || values.iter().skip(k).step_by(count);
        let mean = column().sum::<f64>() / n;
        let variance = column().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
        // Rows of mean square 1, as the regression expects them.
        scales.push(if variance > 1e-12 { 1.0 / (variance * count as f64).sqrt() } else { 0.0 });
    }
    // The latents in the place of the row, and nothing in that of the logit.
    let across = count + 1;
    let mut summed = Sums { count: n, totals: vec![0.0; across], products: vec![0.0; across * across] };
    let mut target = Target { total: 0.0, square: 0.0, products: vec![0.0; across] };
    for (row, &y) in values.chunks_exact(count).zip(outcomes) {
        let reduced: Vec<f64> = row.iter().zip(&scales).map(|(value, scale)| value * scale).collect();
        target.total += y;
        target.square += y * y;
        for (a, &x) in reduced.iter().enumerate() {
            summed.totals[a] += x;
            target.products[a] += x * y;
            reduced.iter().enumerate().for_each(|(b, &other)| summed.products[a * across + b] += x * other);
        }
    }
    let found = Spectrum::of(&summed)?.line(&target, Trust::None);
    line.intercept += found.intercept;
    for ((latent, weight), scale) in latents.iter().zip(&found.weights).zip(&scales) {
        line.add(weight * scale, latent);
    }
    Ok(())
}
