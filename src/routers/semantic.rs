//! Semantic routes: named by example utterances, taken when a text is near enough to them.
//!
//! A text's similarity to a route is the mean of two numbers: its cosine with the route's centre, and the mean of its two
//! highest cosines with the route's utterances, in a [`Space`] where unrelated texts are near 0. Of the routes whose
//! threshold it reaches, the most similar one is taken; otherwise none. Without labelled examples the thresholds are set
//! against ordinary texts and the utterances themselves.

pub mod fit;
pub mod space;

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::math::quantile::linear;
use crate::text::featuriser::{Featuriser, for_each_row};
use crate::text::table::DIM;

use super::verdict::Verdict;
use space::{Space, check_finite, dot, unit};

/// Without examples, at most this part of ordinary texts is taken for a route...
const ORDINARY: f64 = 0.98;
/// ...unless more than this part of its own utterances, each compared with the others, would be missed.
const MISSED: f64 = 0.5;
/// However unlike one another its utterances are, a route takes no more than one in ten of the ordinary texts: two of them
/// say little about what is near.
const LEAST: f64 = 0.9;
/// Routes a verdict tells of.
const SHOWN: usize = 5;
/// What a vector without a direction is to every route.
const NOWHERE: f64 = -1.0;

/// Where the texts of a route go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To the rung of that name.
    Rung(String),
    /// Where another router says, as in a model string.
    Ask(String),
}

impl Target {
    /// `router-local-60%,15%` asks, everything else is a rung.
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        if name.starts_with("router-") { Self::Ask(name) } else { Self::Rung(name) }
    }
}

/// A route without its utterances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Where it leads.
    pub target: Target,
    /// How many utterances it has.
    pub utterances: usize,
}

/// Routes, and where their utterances lie.
#[derive(Debug, PartialEq)]
struct Map {
    space: Arc<Space>,
    routes: Vec<Route>,
    otherwise: Target,
    /// The utterances of a route and its centre, one route after the other.
    rows: usize,
    /// They, one number of each after the other, `[width, rows]`: so sums run side by side, in one order everywhere.
    columns: Vec<f32>,
}

/// The router `semantic`.
#[derive(Debug, Clone, PartialEq)]
pub struct SemanticModel {
    map: Arc<Map>,
    thresholds: Arc<[f64]>,
}

impl SemanticModel {
    /// Routes in the space of the embedded table.
    ///
    /// # Errors
    /// As of [`SemanticModel::new`].
    pub fn local<T: AsRef<str>>(routes: Vec<Route>, otherwise: Target, utterances: &[T]) -> Result<Self> {
        let featuriser = Featuriser::shared()?;
        let vectors: Vec<f64> =
            utterances.iter().flat_map(|text| featuriser.embedding(text.as_ref()).map(f64::from)).collect();
        Self::new(Arc::clone(Space::local()?), routes, otherwise, &vectors)
    }

    /// Routes whose utterances have these vectors, one route after the other, C order.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) when there is no route, one has no utterance, the vectors are not as many or
    /// as wide, or one of them is not finite or has no direction: the message says which.
    pub fn new(space: Arc<Space>, routes: Vec<Route>, otherwise: Target, vectors: &[f64]) -> Result<Self> {
        let (width, count) = (space.width(), routes.iter().map(|route| route.utterances).sum::<usize>());
        if let Some(empty) = routes.iter().find(|route| route.utterances == 0) {
            return Err(Error::value(format!("route '{}' has no utterance: expected at least one", empty.name)));
        }
        if count == 0 {
            return Err(Error::value("expected at least one route, found none"));
        }
        if vectors.len() != count * width {
            let found = vectors.len();
            return Err(Error::value(format!("expected {count} vectors of {width} numbers, found {found} numbers")));
        }
        let mut rows = Vec::with_capacity(vectors.len() + routes.len() * width);
        let mut rest = vectors.chunks_exact(width);
        for route in &routes {
            let mut sum = vec![0.0; width];
            for (at, vector) in rest.by_ref().take(route.utterances).enumerate() {
                let place = || format!("route '{}', utterance {}", route.name, at + 1);
                check_finite(vector).map_err(|error| error.context(place()))?;
                let placed = space.place(vector);
                let placed = placed.ok_or_else(|| Error::value(format!("{}: nothing to compare by", place())))?;
                sum.iter_mut().zip(&placed).for_each(|(sum, x)| *sum += x);
                rows.extend(placed.into_iter().map(|x| x as f32));
            }
            // Utterances that cancel out have no centre.
            rows.extend(unit(sum).unwrap_or_else(|| vec![0.0; width]).into_iter().map(|x| x as f32));
        }
        let columns = (0..width).flat_map(|at| rows.iter().skip(at).step_by(width).copied()).collect();
        let map = Map { rows: count + routes.len(), space, routes, otherwise, columns };
        let thresholds = map.usual_thresholds().into();
        Ok(Self { map: Arc::new(map), thresholds })
    }

    /// The same routes with other thresholds.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) when they are not one for each route, or not numbers.
    pub fn with_thresholds(&self, thresholds: Vec<f64>) -> Result<Self> {
        if thresholds.len() != self.routes().len() || thresholds.iter().any(|threshold| threshold.is_nan()) {
            let routes = self.routes().len();
            return Err(Error::value(format!("expected {routes} numbers, one for each route, found {thresholds:?}")));
        }
        Ok(Self { map: Arc::clone(&self.map), thresholds: thresholds.into() })
    }

    /// The routes, in their order.
    pub fn routes(&self) -> &[Route] {
        &self.map.routes
    }

    /// The similarity each route needs.
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// Numbers in a vector.
    pub fn width(&self) -> usize {
        self.map.space.width()
    }

    /// The similarity of a vector to each route.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) when it has another width, or a number that is not finite.
    pub fn similarities(&self, vector: &[f64]) -> Result<Vec<f64>> {
        let mut out = vec![0.0; self.routes().len()];
        self.map.similarities_of(vector, &mut out)?;
        Ok(out)
    }

    /// As [`similarities`](Self::similarities), of a text in the space of the embedded table.
    ///
    /// # Errors
    /// As there, where the routes were made with another embedder.
    pub fn similarities_of_text(&self, text: &str) -> Result<Vec<f64>> {
        self.similarities(&Featuriser::shared()?.embedding(text).map(f64::from))
    }

    /// The similarities of many texts, `[texts, routes]`, on up to `threads` threads.
    ///
    /// # Errors
    /// As of one.
    pub fn similarities_of_texts<T: AsRef<str> + Sync>(&self, texts: &[T], threads: usize) -> Result<Vec<f64>> {
        let featuriser = Featuriser::shared()?;
        self.map.check_width(DIM)?;
        let routes = self.routes().len();
        let mut out = vec![0.0; texts.len() * routes];
        for_each_row(texts, &mut out, routes, threads, |text, row| {
            let placed = self.map.space.place(&featuriser.embedding(text.as_ref()).map(f64::from));
            self.map.similarities(placed.as_deref(), row);
        });
        Ok(out)
    }

    /// The verdict on a text with these similarities.
    pub fn verdict(&self, similarities: &[f64]) -> Verdict {
        let routes = self.routes();
        let mut order: Vec<usize> = (0..routes.len()).collect();
        order.sort_by(|&a, &b| similarities[b].total_cmp(&similarities[a]));
        let scores = order.iter().take(SHOWN).map(|&at| (routes[at].name.clone(), similarities[at])).collect();
        let taken = winner(similarities, &self.thresholds);
        let nearest = taken.unwrap_or(order[0]);
        let (name, near, needed) = (&routes[nearest].name, similarities[nearest], self.thresholds[nearest]);
        let reason = match taken {
            Some(_) => format!("near route '{name}': similarity {near:.3}, from {needed:.3} on"),
            None if near <= NOWHERE => "no route: nothing to compare".to_owned(),
            None => format!("no route is near: '{name}' with similarity {near:.3}, {needed:.3} needed"),
        };
        let mut verdict =
            Verdict { label: taken.map(|at| routes[at].name.clone()), reason, scores, ..Verdict::default() };
        match taken.map_or(&self.map.otherwise, |at| &routes[at].target) {
            Target::Rung(rung) => verdict.rung = Some(rung.clone()),
            Target::Ask(model) => verdict.ask = Some(model.clone()),
        }
        verdict
    }
}

/// The most similar of the routes whose threshold is reached; of equals the first.
fn winner(similarities: &[f64], thresholds: &[f64]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (at, (&near, &needed)) in similarities.iter().zip(thresholds).enumerate() {
        if near >= needed && best.is_none_or(|best| near > similarities[best]) {
            best = Some(at);
        }
    }
    best
}

impl Map {
    fn similarities_of(&self, vector: &[f64], out: &mut [f64]) -> Result<()> {
        self.check_width(vector.len())?;
        check_finite(vector)?;
        self.similarities(self.space.place(vector).as_deref(), out);
        Ok(())
    }

    fn check_width(&self, found: usize) -> Result<()> {
        let width = self.space.width();
        if found == width {
            return Ok(());
        }
        Err(Error::value(format!("expected a vector of {width} numbers as the routes', found {found}")))
    }

    /// The similarity of a placed vector to each route.
    fn similarities(&self, placed: Option<&[f64]>, out: &mut [f64]) {
        let Some(placed) = placed else { return out.fill(NOWHERE) };
        let cosines = self.cosines(placed);
        let mut rest = cosines.as_slice();
        for (route, out) in self.routes.iter().zip(out) {
            let [own @ .., centre] = rest.get(..=route.utterances).unwrap_or_default() else { return };
            *out = f64::midpoint(nearest_two(own.iter().copied()), *centre);
            rest = &rest[route.utterances + 1..];
        }
    }

    /// The cosine of a placed vector with each row.
    fn cosines(&self, placed: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0f32; self.rows];
        for (column, &x) in self.columns.chunks_exact(self.rows).zip(placed) {
            let x = x as f32;
            sums.iter_mut().zip(column).for_each(|(sum, y)| *sum += x * y);
        }
        sums.into_iter().map(f64::from).collect()
    }

    /// Thresholds without examples: see [`ORDINARY`] and [`MISSED`].
    fn usual_thresholds(&self) -> Vec<f64> {
        let routes = self.routes.len();
        let mut ordinary: Vec<Vec<f64>> = vec![Vec::new(); routes];
        let mut near = vec![0.0; routes];
        for text in self.space.ordinary() {
            let text: Vec<f64> = text.iter().map(|&x| f64::from(x)).collect();
            self.similarities(Some(&text), &mut near);
            ordinary.iter_mut().zip(&near).for_each(|(all, &near)| all.push(near));
        }
        let mut first = 0;
        let thresholds = self.routes.iter().zip(&mut ordinary).map(|(route, ordinary)| {
            ordinary.sort_by(f64::total_cmp);
            let mut own = self.among_themselves(&(first..first + route.utterances));
            first += route.utterances + 1;
            own.sort_by(f64::total_cmp);
            // Without ordinary texts, or with one utterance, one of the two is NaN, which `min` passes over.
            linear(ordinary, ORDINARY).min(linear(&own, MISSED)).max(linear(ordinary, LEAST))
        });
        thresholds.map(|threshold| if threshold.is_nan() { 0.5 } else { threshold }).collect()
    }

    /// The similarity of each utterance of a route to the route of the others.
    fn among_themselves(&self, own: &Range<usize>) -> Vec<f64> {
        if own.len() < 2 {
            return Vec::new();
        }
        let width = self.space.width();
        let row = |at: usize| -> Vec<f64> {
            self.columns.iter().skip(at).step_by(self.rows).map(|&x| f64::from(x)).collect()
        };
        let mut sum = vec![0.0; width];
        for at in own.clone() {
            sum.iter_mut().zip(row(at)).for_each(|(sum, x)| *sum += x);
        }
        let similarity = |at: usize| {
            let row = row(at);
            let cosines = self.cosines(&row);
            let two = nearest_two(own.clone().filter(|&other| other != at).map(|other| cosines[other]));
            let others = unit(sum.iter().zip(&row).map(|(sum, x)| sum - x).collect());
            f64::midpoint(two, others.map_or(0.0, |centre| dot(&centre, &row)))
        };
        own.clone().map(similarity).collect()
    }
}

/// The mean of the two highest; of one alone that one.
fn nearest_two(cosines: impl Iterator<Item = f64>) -> f64 {
    let (mut first, mut second) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    for cosine in cosines {
        if cosine > first {
            (first, second) = (cosine, first);
        } else if cosine > second {
            second = cosine;
        }
    }
    if second == f64::NEG_INFINITY { first } else { f64::midpoint(first, second) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
