//! Training of the matrix factorisation (Ong et al. 2024, arXiv:2406.18665, section 4.2) on the CPU.
//!
//! The logit of a battle is `classifier . ((P[winner] / |P[winner]| - P[loser] / |P[loser]|) * W e)`, the loss its
//! softplus taken negative, averaged over a batch; in training the embedding `e` gets normal noise of deviation
//! `alpha`. One step has two halves, each cut into tasks that share no result: battles forward and backward, then the
//! weights, whose gradients are summed in the order of the batch. So neither the number of threads nor the processor
//! shows in the weights.

use std::sync::{Mutex, PoisonError};

use super::Watch;
use super::adam::{Block, Step};
use super::baseline;
use super::battles::{Battle, Battles};
use super::noise::Key;
use super::product::{LANES, Left, product};
use crate::data::tensors::Tensor;
use crate::error::{Error, Kind, Result};
use crate::math::rows::Rows;
use crate::neural::crew::Crew;
use crate::routers::mf::{MfModel, Sizes};

/// Battles in a task of the first half of a step.
const BATTLES: usize = 8;
/// Rows of the projection in a task of the second half: their gradient stays in the first caches.
const ROWS: usize = 32;
/// Battles evaluated together.
const EVALUATED: usize = 32;
/// As many where a batch is so large that one task would take long.
const FEWER_ROWS: usize = 8;
/// Products of one thread between two calls of a watch, a millisecond or two. A step of the default sizes is one piece.
const UNWATCHED: usize = 1 << 24;
/// A norm below this counts as this, as in the original.
const SMALLEST_NORM: f32 = 1e-12;

/// What randomness is for; the numbers keep the parts of one seed apart.
const MODELS: u64 = 2;
const PROJECTION: u64 = 3;
const CLASSIFIER: u64 = 4;
const ORDER: u64 = 5;
const NOISE: u64 = 6;

/// How training goes about it; the defaults are the original's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Battles in a batch.
    pub batch_size: usize,
    /// Learning rate of Adam.
    pub lr: f64,
    /// Added to the gradient for each unit of a weight.
    pub weight_decay: f64,
    /// Deviation of the noise on embeddings.
    pub alpha: f64,
    /// Whether each epoch takes the battles in an order of its own.
    pub shuffle: bool,
    /// Decides orders and noise.
    pub seed: u64,
    /// Threads at most; none: one for each processor.
    pub threads: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { batch_size: 64, lr: 3e-4, weight_decay: 1e-5, alpha: 0.1, shuffle: true, seed: 42, threads: None }
    }
}

impl Settings {
    fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::value(what));
        if self.batch_size == 0 {
            return wrong("batch_size: expected a whole number of at least 1, found 0".to_owned());
        }
        if !(self.lr.is_finite() && self.lr > 0.0) {
            return wrong(format!("lr: expected a number above 0, found {}", self.lr));
        }
        for (name, value) in [("weight_decay", self.weight_decay), ("alpha", self.alpha)] {
            if !(value.is_finite() && value >= 0.0) {
                return wrong(format!("{name}: expected a number of at least 0, found {value}"));
            }
        }
        Ok(())
    }
}

/// How well battles are called.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Mean loss of a battle, without noise.
    pub loss: f64,
    /// Battles whose winner has the larger logit.
    pub right: usize,
    /// Battles in all.
    pub battles: usize,
}

/// One pass over the training battles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Counted from 1.
    pub number: usize,
    /// Mean loss while training, with noise.
    pub train_loss: f64,
    /// On the held-out battles after it, if there are any.
    pub held_out: Option<Evaluation>,
}

/// What [`Trainer::fit`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// All epochs, in order.
    pub epochs: Vec<Epoch>,
    /// Number of the one whose weights were kept.
    pub best: usize,
    /// The held-out battles called by each model's strength alone, without the prompt.
    pub baseline: Option<Evaluation>,
}

/// The three tensors, or something for each of their numbers. Rows are padded with zeros to whole [`LANES`].
#[derive(Debug, Clone, Default)]
struct Weights {
    /// `[num_models, width]`.
    models: Vec<f32>,
    /// `[text_dim, width]`, so turned; empty without a projection.
    projection: Vec<f32>,
    /// `[width]`.
    classifier: Vec<f32>,
}

impl Weights {
    fn zeros_like(&self) -> Self {
        let zeros = |values: &Vec<f32>| vec![0.0; values.len()];
        Self { models: zeros(&self.models), projection: zeros(&self.projection), classifier: zeros(&self.classifier) }
    }
}

/// A model in training: its weights and what Adam remembers.
#[derive(Debug, Clone)]
pub struct Trainer {
    dim: usize,
    width: usize,
    text_dim: usize,
    num_models: usize,
    use_proj: bool,
    weights: Weights,
    first: Weights,
    second: Weights,
    /// `[num_models, width]`: rows of the table divided by their norms.
    units: Vec<f32>,
    steps: u64,
    epochs: u64,
}

impl Trainer {
    /// Random weights from the distributions torch draws from: rows of the table standard normal, the linear layers
    /// uniform within one over the root of their inputs.
    pub fn new(dim: usize, num_models: usize, text_dim: usize, use_proj: bool, seed: u64) -> Result<Self> {
        let mut trainer = Self::sized(dim, num_models, text_dim, use_proj)?;
        let width = trainer.width;
        let key = Key::new(seed);
        for (index, row) in trainer.weights.models.chunks_exact_mut(width).enumerate() {
            key.part(MODELS).part(index as u64).add_normal(&mut row[..dim], 1.0);
        }
        let linear = |key: Key, out: &mut [f32], inputs: usize| {
            key.uniform(out);
            let scale = 1.0 / (inputs as f32).sqrt();
            for value in out {
                *value *= scale;
            }
        };
        for (index, row) in trainer.weights.projection.chunks_exact_mut(width).enumerate() {
            linear(key.part(PROJECTION).part(index as u64), &mut row[..dim], text_dim);
        }
        linear(key.part(CLASSIFIER), &mut trainer.weights.classifier[..dim], dim);
        trainer.normalise();
        Ok(trainer)
    }

    /// Goes on from the weights of a model; what Adam remembers starts empty.
    ///
    /// # Errors
    /// `Kind::Value` when the model has several classes.
    pub fn of(model: &MfModel) -> Result<Self> {
        if model.num_classes() != 1 {
            let found = model.num_classes();
            return Err(Error::value(format!("training needs num_classes=1, found {found}")));
        }
        let named = model.named();
        let use_proj = named.len() == 3;
        let mut trainer = Self::sized(model.dim(), model.num_models(), model.text_dim(), use_proj)?;
        let (dim, width) = (trainer.dim, trainer.width);
        for (index, (_, tensor)) in named.into_iter().enumerate() {
            match index {
                0 => {
                    let rows = trainer.weights.models.chunks_exact_mut(width).zip(tensor.values.chunks_exact(dim));
                    rows.for_each(|(padded, row)| padded[..dim].copy_from_slice(row));
                }
                1 => trainer.weights.classifier[..dim].copy_from_slice(&tensor.values),
                _ => {
                    for (row, values) in tensor.values.chunks_exact(trainer.text_dim).enumerate() {
                        let column = trainer.weights.projection.iter_mut().skip(row).step_by(width);
                        column.zip(values).for_each(|(slot, &value)| *slot = value);
                    }
                }
            }
        }
        trainer.normalise();
        Ok(trainer)
    }

    fn sized(dim: usize, num_models: usize, text_dim: usize, use_proj: bool) -> Result<Self> {
        for (name, size) in [("dim", dim), ("num_models", num_models), ("text_dim", text_dim)] {
            if size == 0 {
                return Err(Error::value(format!("{name}: expected a whole number of at least 1, found 0")));
            }
        }
        if !use_proj && dim != text_dim {
            return Err(Error::value(format!("text_dim {text_dim} must be equal to dim {dim} without a projection")));
        }
        let width = dim.checked_next_multiple_of(LANES).unwrap_or(dim);
        let zeros = |rows: usize| crate::math::rows::zeros("the weights", rows, width);
        let weights = Weights {
            models: zeros(num_models)?,
            projection: zeros(if use_proj { text_dim } else { 0 })?,
            classifier: zeros(1)?,
        };
        let (first, second, units) = (weights.zeros_like(), weights.zeros_like(), zeros(num_models)?);
        Ok(Self { dim, width, text_dim, num_models, use_proj, weights, first, second, units, steps: 0, epochs: 0 })
    }

    /// Rows of the table.
    pub fn num_models(&self) -> usize {
        self.num_models
    }

    /// The model as it is now.
    pub fn model(&self) -> Result<MfModel> {
        let dim = self.dim;
        let tensor = |shape: [usize; 2], values: Vec<f32>| Tensor { shape: shape.to_vec(), values };
        let rows = self.weights.models.chunks_exact(self.width).flat_map(|row| &row[..dim]);
        let models = tensor([self.num_models, dim], rows.copied().collect());
        let projection = self.use_proj.then(|| {
            let column = |row: usize| self.weights.projection.iter().skip(row).step_by(self.width);
            tensor([dim, self.text_dim], (0..dim).flat_map(column).copied().collect())
        });
        let classifier = tensor([1, dim], self.weights.classifier[..dim].to_vec());
        MfModel::new(models, projection, classifier, Sizes::default())
            .map_err(|e| Error::value(format!("training has left the range of numbers: {e}; a smaller lr may help")))
    }

    /// Forgets what Adam remembers; the weights stay, and orders and noise go on.
    pub fn restart(&mut self) {
        (self.first, self.second) = (self.weights.zeros_like(), self.weights.zeros_like());
        self.steps = 0;
    }

    /// Trains for up to `epochs` passes and keeps the weights of the one with the smallest held-out loss.
    ///
    /// It ends early when `patience` epochs in a row brought no smaller held-out loss. Without held-out battles all
    /// epochs are made and the last is kept. `on_epoch` hears of each, and ends the training with an error of its own.
    ///
    /// # Errors
    /// `Kind::Value` for settings or sizes that cannot be, no battles, and a loss that is no number any more; what
    /// `watch` and `on_epoch` return. The weights are then those of that moment.
    pub fn fit(
        &mut self,
        embeddings: &Rows,
        (train, held_out): (&Battles, &Battles),
        settings: &Settings,
        (epochs, patience): (usize, Option<usize>),
        watch: Watch,
        mut on_epoch: impl FnMut(&Epoch) -> Result<()>,
    ) -> Result<Fit> {
        if epochs == 0 {
            return Err(Error::value("epochs: expected a whole number of at least 1, found 0"));
        }
        let mut done: Vec<Epoch> = Vec::new();
        let mut best: Option<(usize, f64, Weights)> = None;
        for number in 1..=epochs {
            let train_loss = self.epoch(embeddings, train, settings, watch)?;
            let judged = (!held_out.is_empty()).then(|| self.evaluate(embeddings, held_out, settings.threads, watch));
            let held = judged.transpose()?;
            if let Some(Evaluation { loss, .. }) = held.filter(|held| !held.loss.is_finite()) {
                return Err(overflowed("held-out ", number, loss));
            }
            let epoch = Epoch { number, train_loss, held_out: held };
            done.push(epoch);
            on_epoch(&epoch)?;
            let Some(Evaluation { loss, .. }) = held else { continue };
            match &best {
                Some((found, smallest, _)) if loss >= *smallest => {
                    if patience.is_some_and(|patience| number - found >= patience) {
                        break;
                    }
                }
                _ => best = Some((number, loss, self.weights.clone())),
            }
        }
        if best.is_none() {
            // The losses of an epoch are those before its steps: nothing else has seen the weights that are kept.
            let Evaluation { loss, .. } = self.evaluate(embeddings, train, settings.threads, watch)?;
            if !loss.is_finite() {
                return Err(overflowed("", done.len(), loss));
            }
        }
        let mut kept = done.len();
        if let Some((number, _, weights)) = best {
            self.weights = weights;
            self.normalise();
            kept = number;
        }
        let mut baseline = None;
        if !held_out.is_empty() {
            let strengths = baseline::strengths(train.as_slice(), self.num_models, watch)?;
            let (loss, right) = baseline::judge(&strengths, held_out.as_slice());
            baseline = Some(Evaluation { loss, right, battles: held_out.len() });
        }
        Ok(Fit { epochs: done, best: kept, baseline })
    }

    /// One pass over the battles; the mean loss, with noise.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn epoch(&mut self, embeddings: &Rows, battles: &Battles, settings: &Settings, watch: Watch) -> Result<f64> {
        settings.check()?;
        self.check(embeddings, battles)?;
        self.epochs += 1;
        let key = Key::new(settings.seed);
        let order = if settings.shuffle {
            key.part(ORDER).part(self.epochs).shuffled(battles.len())
        } else {
            (0..battles.len()).collect()
        };
        let noise = key.part(NOISE).part(self.epochs);
        let size = settings.batch_size.min(battles.len());
        let mut room = Room::new(size, self.text_dim, self.width)?;
        let threads = self.worth(size, settings.threads);
        let loss = Crew::with(threads, |crew| -> Result<f64> {
            let mut loss = 0.0;
            let mut batch = Vec::with_capacity(size);
            for (number, indices) in order.chunks(size).enumerate() {
                batch.clear();
                batch.extend(indices.iter().map(|&index| battles.as_slice()[index]));
                let noise = (settings.alpha > 0.0).then_some((noise.part(number as u64), settings.alpha as f32));
                self.forward_backward(crew, embeddings, &batch, noise, &mut room, watch)?;
                self.steps += 1;
                let step = Step::new(settings.lr, settings.weight_decay, self.steps);
                self.update(crew, &batch, &room, watch, |block, gradient| step.apply(block, gradient))?;
                loss += room.losses[..batch.len()].iter().sum::<f64>();
            }
            Ok(loss / battles.len() as f64)
        })?;
        if loss.is_finite() {
            return Ok(loss);
        }
        let epoch = usize::try_from(self.epochs).unwrap_or(usize::MAX);
        Err(overflowed("", epoch, loss))
    }

    /// Loss and calls without noise.
    ///
    /// # Errors
    /// `Kind::Value` and `Kind::Name` for battles or sizes that cannot be; what `watch` returns.
    pub fn evaluate(
        &self,
        embeddings: &Rows,
        battles: &Battles,
        threads: Option<usize>,
        watch: Watch,
    ) -> Result<Evaluation> {
        self.check(embeddings, battles)?;
        let parts: Vec<&[Battle]> = battles.as_slice().chunks(EVALUATED).collect();
        let found: Vec<Mutex<(f64, usize)>> = parts.iter().map(|_| Mutex::default()).collect();
        let threads = self.worth(battles.len(), threads);
        Crew::with(threads, |crew| {
            self.watched(crew, parts.len(), EVALUATED, watch, |index| {
                let part = parts[index];
                let mut x = vec![0.0; part.len() * self.text_dim];
                let mut z = vec![0.0; part.len() * self.width];
                self.project(embeddings, part, None, &mut x, &mut z);
                let (mut loss, mut right) = (0.0, 0);
                for (battle, z) in part.iter().zip(z.chunks_exact(self.width)) {
                    let logit = self.logit(battle, z);
                    loss += softplus(-logit);
                    right += usize::from(logit > 0.0);
                }
                *found[index].lock().unwrap_or_else(PoisonError::into_inner) = (loss, right);
            })
        })?;
        let (mut loss, mut right) = (0.0, 0);
        for part in found {
            let (more, also) = part.into_inner().unwrap_or_else(PoisonError::into_inner);
            loss += more;
            right += also;
        }
        Ok(Evaluation { loss: loss / battles.len() as f64, right, battles: battles.len() })
    }

    fn check(&self, embeddings: &Rows, battles: &Battles) -> Result<()> {
        if battles.is_empty() {
            return Err(Error::value("expected at least one battle with a winner between two different models"));
        }
        if embeddings.cols() != self.text_dim {
            let found = embeddings.cols();
            return Err(Error::value(format!("expected embeddings of {} numbers, found {found}", self.text_dim)));
        }
        let models = self.num_models;
        let outside = |b: &&Battle| b.winner >= models || b.loser >= models || b.prompt >= embeddings.len();
        match battles.as_slice().iter().find(outside) {
            Some(battle) => Err(Error::new(Kind::Name, format!("{battle:?} is outside the table or the embeddings"))),
            None => Ok(()),
        }
    }

    /// One thread for work that takes less time than handing it over.
    fn worth(&self, battles: usize, threads: Option<usize>) -> Option<usize> {
        let products = battles.saturating_mul(self.text_dim).saturating_mul(self.width);
        if products < 1 << 19 { Some(1) } else { threads }
    }

    /// Runs tasks of `battles` battles each, and calls `watch` in between.
    fn watched(
        &self,
        crew: &Crew,
        tasks: usize,
        battles: usize,
        watch: Watch,
        task: impl Fn(usize) + Sync,
    ) -> Result<()> {
        in_pieces(crew, tasks, battles.saturating_mul(self.text_dim).saturating_mul(self.width), watch, task)
    }

    /// Embeddings of the battles' prompts with their noise into `x`, and their projections into `z`.
    fn project(&self, embeddings: &Rows, battles: &[Battle], noise: Option<(Key, f32)>, x: &mut [f32], z: &mut [f32]) {
        for (index, (battle, row)) in battles.iter().zip(x.chunks_exact_mut(self.text_dim)).enumerate() {
            embeddings.gather(battle.prompt, 1, row);
            if let Some((key, alpha)) = noise {
                key.part(index as u64).add_normal(row, alpha);
            }
        }
        if self.use_proj {
            let left = Left { values: x, row_step: self.text_dim, depth_step: 1 };
            product(left, &self.weights.projection, self.width, z);
            return;
        }
        for (z, x) in z.chunks_exact_mut(self.width).zip(x.chunks_exact(self.text_dim)) {
            z[..self.dim].copy_from_slice(x);
        }
    }

    fn unit(&self, model: usize) -> &[f32] {
        &self.units[model * self.width..][..self.width]
    }

    fn logit(&self, battle: &Battle, z: &[f32]) -> f64 {
        let units = self.unit(battle.winner).iter().zip(self.unit(battle.loser));
        let terms = units.zip(&self.weights.classifier).zip(z);
        terms.map(|(((winner, loser), weight), z)| f64::from((winner - loser) * weight * z)).sum()
    }

    /// Fills `room` with losses and gradients of the batch's mean loss.
    fn forward_backward(
        &self,
        crew: &Crew,
        embeddings: &Rows,
        batch: &[Battle],
        noise: Option<(Key, f32)>,
        room: &mut Room,
        watch: Watch,
    ) -> Result<()> {
        let (width, scale) = (self.width, 1.0 / batch.len() as f64);
        let tasks: Vec<_> = room.parts(batch.len(), self.text_dim, width).into_iter().map(Mutex::new).collect();
        self.watched(crew, tasks.len(), BATTLES, watch, |task| {
            let mut part = tasks[task].lock().unwrap_or_else(PoisonError::into_inner);
            let Part { x, z, to_text, to_models, to_classifier, losses } = &mut *part;
            let battles = &batch[task * BATTLES..][..losses.len()];
            let noise = noise.map(|(key, alpha)| (key.part(task as u64), alpha));
            self.project(embeddings, battles, noise, x, z);
            for (index, battle) in battles.iter().enumerate() {
                let row = index * width..(index + 1) * width;
                let z = &z[row.clone()];
                let logit = self.logit(battle, z);
                losses[index] = softplus(-logit);
                let slope = (-scale / (1.0 + logit.exp())) as f32;
                let units = self.unit(battle.winner).iter().zip(self.unit(battle.loser));
                let terms = units.zip(&self.weights.classifier).zip(z).map(|(((w, l), &c), &z)| (w - l, c, z));
                let slots = to_text[row.clone()].iter_mut().zip(&mut to_models[row.clone()]);
                for (((text, models), classifier), (side, c, z)) in slots.zip(&mut to_classifier[row]).zip(terms) {
                    *text = slope * side * c;
                    *models = slope * c * z;
                    *classifier = slope * side * z;
                }
            }
        })
    }

    /// Hands every block of weights and its gradient to `apply`; when `watch` ends it, those that were reached.
    fn update(
        &mut self,
        crew: &Crew,
        batch: &[Battle],
        room: &Room,
        watch: Watch,
        apply: impl Fn(&mut Block, &[f32]) + Sync,
    ) -> Result<()> {
        let (width, text_dim) = (self.width, self.text_dim);
        let Weights { models, projection, classifier } = &mut self.weights;
        let first = &mut self.first;
        let second = &mut self.second;
        let mut tasks = Vec::new();
        let rows = if batch.len().saturating_mul(ROWS * width) > UNWATCHED { FEWER_ROWS } else { ROWS };
        let blocks = blocks(projection, &mut first.projection, &mut second.projection, rows * width);
        tasks.extend(blocks.enumerate().map(|(index, block)| Mutex::new(Task::Projection(index * rows, block))));
        let blocks = self::blocks(models, &mut first.models, &mut second.models, ROWS * width);
        let units = self.units.chunks_mut(ROWS * width);
        tasks.extend(
            blocks.zip(units).enumerate().map(|(index, (block, u))| Mutex::new(Task::Models(index * ROWS, block, u))),
        );
        let block = Block { weights: classifier, first: &mut first.classifier, second: &mut second.classifier };
        tasks.push(Mutex::new(Task::Classifier(block)));
        let products = batch.len().saturating_mul(rows * width);
        in_pieces(crew, tasks.len(), products, watch, |task| {
            match &mut *tasks[task].lock().unwrap_or_else(PoisonError::into_inner) {
                Task::Projection(row, block) => {
                    let mut gradient = vec![0.0; block.weights.len()];
                    let values = &room.x[*row..batch.len() * text_dim];
                    let left = Left { values, row_step: 1, depth_step: text_dim };
                    product(left, &room.to_text[..batch.len() * width], width, &mut gradient);
                    apply(block, &gradient);
                }
                Task::Models(row, block, units) => {
                    let gradient = models_gradient(batch, &room.to_models, *row, width, block.weights, units);
                    apply(block, &gradient);
                    normalise(block.weights, units, width);
                }
                Task::Classifier(block) => {
                    let mut gradient = vec![0.0; width];
                    for row in room.to_classifier[..batch.len() * width].chunks_exact(width) {
                        gradient.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                    }
                    apply(block, &gradient);
                }
            }
        })
    }

    fn normalise(&mut self) {
        normalise(&self.weights.models, &mut self.units, self.width);
    }
}

/// Runs tasks of so many products each; `watch` is called after every few of them.
fn in_pieces(crew: &Crew, tasks: usize, products: usize, watch: Watch, task: impl Fn(usize) + Sync) -> Result<()> {
    let at_once = crew.threads() * (UNWATCHED / products.max(1)).max(1);
    for first in (0..tasks).step_by(at_once) {
        crew.run(at_once.min(tasks - first), |index| task(first + index));
        watch(0)?;
    }
    Ok(())
}

fn overflowed(which: &str, epoch: usize, loss: f64) -> Error {
    Error::value(format!("the {which}loss of epoch {epoch} is {loss}: a smaller lr may help"))
}

/// A part of the weights that one task moves.
enum Task<'a> {
    /// Rows of the turned projection, from this one on.
    Projection(usize, Block<'a>),
    /// Rows of the table from this one on, and their units.
    Models(usize, Block<'a>, &'a mut [f32]),
    Classifier(Block<'a>),
}

fn blocks<'a>(
    weights: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    size: usize,
) -> impl Iterator<Item = Block<'a>> {
    let parts = weights.chunks_mut(size).zip(first.chunks_mut(size)).zip(second.chunks_mut(size));
    parts.map(|((weights, first), second)| Block { weights, first, second })
}

/// Gradient of the rows of the table from `first` on: that of their units, brought back through the norm.
fn models_gradient(
    batch: &[Battle],
    to_models: &[f32],
    first: usize,
    width: usize,
    weights: &[f32],
    units: &[f32],
) -> Vec<f32> {
    let mut gradient = vec![0.0; weights.len()];
    let rows = weights.len() / width;
    for (battle, row) in batch.iter().zip(to_models.chunks_exact(width)) {
        for (model, sign) in [(battle.winner, 1.0), (battle.loser, -1.0)] {
            if let Some(index) = model.checked_sub(first).filter(|&index| index < rows) {
                let slots = &mut gradient[index * width..][..width];
                slots.iter_mut().zip(row).for_each(|(sum, value)| *sum += sign * value);
            }
        }
    }
    let rows = gradient.chunks_exact_mut(width).zip(weights.chunks_exact(width)).zip(units.chunks_exact(width));
    for ((gradient, weights), unit) in rows {
        let norm = norm(weights);
        let along: f32 = gradient.iter().zip(unit).map(|(gradient, unit)| gradient * unit).sum();
        // Below the smallest norm the divisor is constant.
        let along = if norm > SMALLEST_NORM { along } else { 0.0 };
        for (gradient, unit) in gradient.iter_mut().zip(unit) {
            *gradient = (*gradient - along * unit) / norm;
        }
    }
    gradient
}

fn norm(row: &[f32]) -> f32 {
    (row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt() as f32).max(SMALLEST_NORM)
}

fn normalise(models: &[f32], units: &mut [f32], width: usize) {
    for (row, unit) in models.chunks_exact(width).zip(units.chunks_exact_mut(width)) {
        let norm = norm(row);
        unit.iter_mut().zip(row).for_each(|(unit, value)| *unit = value / norm);
    }
}

/// `ln(1 + e^x)`, at any x.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// What a step needs beside the weights; made once for all steps.
#[derive(Debug)]
struct Room {
    x: Vec<f32>,
    z: Vec<f32>,
    /// Gradients by the projected prompt, by the difference of the two units, and by the classifier.
    to_text: Vec<f32>,
    to_models: Vec<f32>,
    to_classifier: Vec<f32>,
    losses: Vec<f64>,
}

/// The room of one task's battles.
struct Part<'a> {
    x: &'a mut [f32],
    z: &'a mut [f32],
    to_text: &'a mut [f32],
    to_models: &'a mut [f32],
    to_classifier: &'a mut [f32],
    losses: &'a mut [f64],
}

impl Room {
    fn new(battles: usize, text_dim: usize, width: usize) -> Result<Self> {
        let zeros = |cols: usize| crate::math::rows::zeros("a batch", battles, cols);
        Ok(Self {
            x: zeros(text_dim)?,
            z: zeros(width)?,
            to_text: zeros(width)?,
            to_models: zeros(width)?,
            to_classifier: zeros(width)?,
            losses: vec![0.0; battles],
        })
    }

    fn parts(&mut self, battles: usize, text_dim: usize, width: usize) -> Vec<Part<'_>> {
        let mut x = self.x[..battles * text_dim].chunks_mut(BATTLES * text_dim);
        let mut z = self.z.chunks_mut(BATTLES * width);
        let mut to_text = self.to_text.chunks_mut(BATTLES * width);
        let mut to_models = self.to_models.chunks_mut(BATTLES * width);
        let mut to_classifier = self.to_classifier.chunks_mut(BATTLES * width);
        let mut losses = self.losses[..battles].chunks_mut(BATTLES);
        std::iter::from_fn(|| {
            let (x, losses) = (x.next()?, losses.next()?);
            let z = z.next()?.get_mut(..losses.len() * width)?;
            let (to_text, to_models) = (to_text.next()?, to_models.next()?);
            Some(Part { x, z, to_text, to_models, to_classifier: to_classifier.next()?, losses })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests;
