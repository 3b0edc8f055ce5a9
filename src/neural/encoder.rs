//! Sequence classifiers of the BERT family: BERT, `RoBERTa` and XLM-RoBERTa, after Hugging Face's layout.
//!
//! Sequences go through a pass one after the other, without padding between them, so that a batch costs what its
//! tokens cost and every result is the one the sequence has alone, bit for bit.

mod config;
mod load;

use std::ops::Range;
use std::path::Path;

use super::attention;
use super::crew::Crew;
use super::linear::{Linear, Precision, Then};
use super::ops::{layer_norm_on, softmax};
use super::weights::Table;
use crate::error::{Error, Kind, Result};

pub use config::{Activation, Config, Family};

/// Tokens of one pass; a longer sequence has a pass of its own. Enough for the products to run at full speed, few
/// enough for what lies between them to stay in the cache.
const PASS: usize = 512;

/// A text as the network takes it.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    /// Token ids, at least one.
    pub ids: &'a [u32],
    /// Token types, equally many; empty: all 0. `RoBERTa` has none and ignores them.
    pub types: &'a [u32],
}

/// A loaded classifier. Cheap to share between threads.
#[derive(Debug)]
pub struct Encoder {
    config: Config,
    words: Table,
    positions: Vec<f32>,
    types: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    dense: Linear,
    out: Linear,
}

#[derive(Debug)]
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

#[derive(Debug)]
struct Layer {
    attention: Attention,
    output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

#[derive(Debug)]
enum Attention {
    /// Query, key and value of every token, joined.
    All(Linear),
    /// In the last layer, of which the classifier sees a sequence's first token only: the query of that one; key and
    /// value of every token, joined.
    First { query: Linear, rest: Linear },
}

/// Memory of a pass, kept for the next one.
#[derive(Debug, Default)]
struct Scratch {
    x: Vec<f32>,
    y: Vec<f32>,
    qkv: Vec<f32>,
    wide: Vec<f32>,
}

impl Encoder {
    /// Loads `config.json` and the weights of a folder. The table of word embeddings stays in the file.
    ///
    /// # Errors
    /// `Kind::Missing`, `Kind::Io`: as [`super::weights::Mapped::open`]. `Kind::Checkpoint` names the tensor or entry
    /// of `config.json` that is missing, does not fit, or is not finite. `Kind::Unsupported` for architectures, and
    /// entries of `config.json`, that are not of this family.
    pub fn load(folder: &Path, labels: usize) -> Result<Self> {
        load::load(folder, labels)
    }

    /// Sizes, as `config.json` gives them.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Rows of the word table.
    pub fn vocabulary(&self) -> usize {
        self.words.rows()
    }

    /// Numbers that come out for a sequence.
    pub fn labels(&self) -> usize {
        self.out.outputs()
    }

    /// Cuts `0..lengths.len()`, in order of length, into passes of bounded size.
    pub fn passes(lengths: &[usize]) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&index| lengths[index]);
        let (mut passes, mut tokens) = (Vec::<Vec<usize>>::new(), 0);
        for index in order {
            tokens += lengths[index];
            match passes.last_mut().filter(|_| tokens <= PASS) {
                Some(pass) => pass.push(index),
                None => (passes.push(vec![index]), tokens = lengths[index]).0,
            }
        }
        passes
    }

    /// Whether the network can take this sequence.
    ///
    /// # Errors
    /// `Kind::Value` for a sequence that is empty or longer than the position table, and for ids outside the tables.
    pub fn check(&self, sequence: Sequence) -> Result<()> {
        self.positions(sequence.ids)?;
        let words = self.words.rows();
        if let Some(id) = sequence.ids.iter().find(|&&id| id as usize >= words) {
            return Err(Error::value(format!("token id {id} is not in the model's table of {words} words")));
        }
        let types = self.config.types;
        match sequence.types.iter().find(|&&kind| kind as usize >= types) {
            Some(kind) if self.config.family == Family::Bert => {
                Err(Error::value(format!("token type {kind} is not in the model's table of {types}")))
            }
            _ => Ok(()),
        }
    }

    /// Logits `[n, labels]` of a few sequences, in one pass.
    ///
    /// # Errors
    /// `Kind::Value` as [`Self::check`]; `Kind::Checkpoint` where the weights give a result that is not finite.
    pub fn logits(&self, threads: Option<usize>, sequences: &[Sequence]) -> Result<Vec<f32>> {
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
        let mut scratch = Scratch::default();
        self.embed(sequences, &mut scratch.x)?;
        let logits = Crew::with(threads, |crew| self.forward(crew, &lengths, &mut scratch));
        if logits.iter().all(|logit| logit.is_finite()) {
            return Ok(logits);
        }
        let message = "the network gives a result that is infinite or not a number (NaN): its weights are too large";
        Err(Error::new(Kind::Checkpoint, message))
    }

    /// Sum of word, type and position, normalised later.
    fn embed(&self, sequences: &[Sequence], x: &mut Vec<f32>) -> Result<()> {
        let hidden = self.config.hidden;
        let tokens: usize = sequences.iter().map(|sequence| sequence.ids.len()).sum();
        x.resize(tokens * hidden, 0.0);
        let mut rows = x.chunks_exact_mut(hidden);
        for sequence in sequences {
            self.check(*sequence)?;
            let positions = self.positions(sequence.ids)?;
            for (token, (&id, position)) in sequence.ids.iter().zip(positions).enumerate() {
                let Some(row) = rows.next() else { break };
                self.words.read(id as usize, row)?;
                let kind = match self.config.family {
                    Family::Bert => sequence.types.get(token).map_or(0, |&kind| kind as usize),
                    Family::Roberta => 0,
                };
                let kind = &self.types[kind * hidden..(kind + 1) * hidden];
                let place = &self.positions[position * hidden..(position + 1) * hidden];
                // In this order, as the original adds.
                row.iter_mut().zip(kind).zip(place).for_each(|((x, kind), place)| *x = (*x + kind) + place);
            }
        }
        Ok(())
    }

    /// Row of the position table for each token.
    fn positions(&self, ids: &[u32]) -> Result<Vec<usize>> {
        if ids.is_empty() {
            return Err(Error::value("expected at least one token id, found none"));
        }
        let positions: Vec<usize> = match self.config.family {
            Family::Bert => (0..ids.len()).collect(),
            Family::Roberta => {
                // Padding written in the text is counted as padding, though attention sees it.
                let (pad, mut last) = (self.config.pad, self.config.pad);
                let position = |&id: &u32| {
                    let counts = id as usize != pad;
                    last += usize::from(counts);
                    if counts { last } else { pad }
                };
                ids.iter().map(position).collect()
            }
        };
        let (rows, last) = (self.config.positions, positions.iter().copied().max().unwrap_or(0));
        if last >= rows {
            let most = self.config.most_tokens();
            return Err(Error::value(format!(
                "the text has {} tokens, the model's position table takes {most}: `model_max_length` in \
                 tokenizer_config.json says where longer texts are to be cut",
                ids.len()
            )));
        }
        Ok(positions)
    }

    fn forward(&self, crew: &Crew, lengths: &[usize], scratch: &mut Scratch) -> Vec<f32> {
        self.normalise(crew, &self.norm, &mut scratch.x);
        for layer in &self.layers {
            self.layer(crew, layer, lengths, scratch);
        }
        if self.layers.is_empty() {
            scratch.x = first_rows(&scratch.x, lengths, self.config.hidden);
        }
        let (rows, hidden) = (lengths.len(), self.config.hidden);
        let mut pooled = vec![0.0; rows * hidden];
        self.dense.apply(crew, Precision::F32, &scratch.x, &mut pooled, Then::Tanh);
        let mut logits = vec![0.0; rows * self.labels()];
        self.out.apply(crew, Precision::F32, &pooled, &mut logits, Then::Store);
        logits
    }

    /// One layer on `scratch.x`; after the last one, that holds the first token of each sequence.
    fn layer(&self, crew: &Crew, layer: &Layer, lengths: &[usize], scratch: &mut Scratch) {
        let Scratch { x, y, qkv, wide } = scratch;
        let heads = self.config.heads;
        let tokens: usize = lengths.iter().sum();
        match &layer.attention {
            Attention::All(joined) => {
                qkv.resize(tokens * joined.outputs(), 0.0);
                joined.apply(crew, Precision::F32, x, qkv, Then::Store);
                wide.resize(x.len(), 0.0);
                attention::encoder(crew, qkv, lengths, heads, wide);
            }
            Attention::First { query, rest } => {
                qkv.resize(tokens * rest.outputs(), 0.0);
                rest.apply(crew, Precision::F32, x, qkv, Then::Store);
                *x = first_rows(x, lengths, self.config.hidden);
                y.resize(x.len(), 0.0);
                query.apply(crew, Precision::F32, x, y, Then::Store);
                wide.resize(x.len(), 0.0);
                attend_first(crew, y, qkv, lengths, heads, wide);
            }
        }
        y.resize(x.len(), 0.0);
        layer.output.apply(crew, Precision::F32, wide, y, Then::Add(x));
        self.normalise(crew, &layer.attention_norm, y);
        wide.resize(y.len() / self.config.hidden * layer.up.outputs(), 0.0);
        match self.config.activation {
            Activation::Gelu => layer.up.apply(crew, Precision::F32, y, wide, Then::Gelu),
            other => {
                layer.up.apply(crew, Precision::F32, y, wide, Then::Store);
                crew.chunks(wide, 4096, |_, part| other.apply(part));
            }
        }
        layer.down.apply(crew, Precision::F32, wide, x, Then::Add(y));
        self.normalise(crew, &layer.norm, x);
    }

    fn normalise(&self, crew: &Crew, norm: &Norm, rows: &mut [f32]) {
        layer_norm_on(crew, rows, &norm.weight, &norm.bias, self.config.eps);
    }
}

/// The first row of each sequence.
fn first_rows(x: &[f32], lengths: &[usize], hidden: usize) -> Vec<f32> {
    spans(lengths).flat_map(|span| &x[span.start * hidden..][..hidden]).copied().collect()
}

/// Rows of each sequence.
fn spans(lengths: &[usize]) -> impl Iterator<Item = Range<usize>> {
    lengths.iter().scan(0, |end, &length| {
        let start = *end;
        *end += length;
        Some(start..*end)
    })
}

/// Attention of one query a sequence. `queries` and `out` are `[sequences, hidden]`, `kv` is `[tokens, 2 * hidden]`: key
/// and value side by side.
fn attend_first(crew: &Crew, queries: &[f32], kv: &[f32], lengths: &[usize], heads: usize, out: &mut [f32]) {
    let hidden = out.len() / lengths.len().max(1);
    let width = hidden / heads.max(1);
    let scale = 1.0 / (width as f32).sqrt();
    let spans: Vec<Range<usize>> = spans(lengths).collect();
    crew.chunks(out, width, |first, out| {
        let (sequence, head) = (first / hidden, first % hidden);
        let query = &queries[first..first + width];
        let rows = &kv[spans[sequence].start * 2 * hidden..spans[sequence].end * 2 * hidden];
        let score = |row: &[f32]| dot(query, &row[head..head + width]) * scale;
        let mut scores: Vec<f32> = rows.chunks_exact(2 * hidden).map(score).collect();
        softmax(&mut scores);
        out.fill(0.0);
        for (row, score) in rows.chunks_exact(2 * hidden).zip(scores) {
            let value = &row[hidden + head..hidden + head + width];
            out.iter_mut().zip(value).for_each(|(out, value)| *out += score * value);
        }
    });
}

/// In eight sums side by side, so that it runs on vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
