//! A Llama-like decoder on the CPU: root-mean-square norms, rotary positions, grouped heads, gated layers.
//!
//! Tokens of several sequences go through the layers as rows of one matrix, in passes of bounded size. What a row gives
//! does not depend on the rows beside it, so a batch has the bits of single calls. The last layer stops at the keys
//! and values for all rows but those whose logits are asked for.

mod config;
mod rope;

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

pub use config::Config;
pub use rope::Rope;

use super::attention::{self, Cache, Heads, Part};
use super::crew::Crew;
use super::linear::{Linear, Precision, Stored, Then};
use super::ops::{Rotary, rms_norm_on};
use super::weights::{Mapped, Table, View, Weights};
use crate::data::tensors::Dim;
use crate::error::{Error, Kind, Result};

/// Rows that go through the layers at once: enough for the products, and bounds the memory between them.
const ROWS: usize = 512;

/// Most bytes of keys and values that one sequence may take.
const MOST_KEPT: usize = 4 << 30;

/// A decoder with its weights packed.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    table: Table,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    head: Linear,
    frequencies: Vec<f32>,
    rotary: Mutex<Arc<Rotary>>,
}

#[derive(Debug)]
struct Layer {
    before_attention: Vec<f32>,
    qkv: Linear,
    out: Linear,
    before_gated: Vec<f32>,
    gated: Gated,
    down: Linear,
}

/// The two layers of a gated pair; apart only where they have biases.
#[derive(Debug)]
enum Gated {
    Joined(Linear),
    Apart { gate: Linear, up: Linear },
}

/// What the layers remember of the tokens of one sequence.
#[derive(Debug, Clone)]
pub struct Sequence {
    layers: Vec<Cache>,
}

impl Sequence {
    /// Tokens remembered.
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, Cache::len)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.layers.iter_mut().for_each(|layer| layer.truncate(len));
    }
}

/// New tokens of one sequence.
#[derive(Debug)]
pub struct Run<'a> {
    /// Their ids, at least one.
    pub ids: &'a [u32],
    /// What the sequence begins with, shared with others and not changed.
    pub prefix: Option<&'a Sequence>,
    /// What came after that; the new tokens are added to it.
    pub sequence: &'a mut Sequence,
}

/// The part of a run that goes through one pass; `done` when it is the last of its run.
struct Piece<'a> {
    ids: &'a [u32],
    prefix: Option<&'a Sequence>,
    sequence: &'a mut Sequence,
    done: bool,
}

impl Decoder {
    /// Reads and packs the decoder of a checkpoint folder.
    ///
    /// # Errors
    /// `Kind::Missing`, `Kind::Io`, `Kind::Checkpoint` and `Kind::Unsupported`, as [`Config::open`], [`Mapped::open`]
    /// and [`Mapped::tensor`].
    pub fn open(folder: &Path) -> Result<Self> {
        let config = Config::open(folder)?;
        let mapped = Mapped::open(folder)?;
        let loader = Loader { mapped: &mapped, config: &config, used: RefCell::default() };
        let (hidden, vocabulary) = (config.hidden, config.vocabulary);
        let dims = [("vocab_size", Some(vocabulary)), ("hidden_size", Some(hidden))];
        let table = loader.tensor("model.embed_tokens.weight", &dims)?;
        let head = if config.tied { "model.embed_tokens.weight" } else { "lm_head.weight" };
        let layers = (0..config.layers).map(|layer| loader.layer(layer)).collect::<Result<Vec<_>>>()?;
        let head = loader.linear(&[(head, ("vocab_size", Some(vocabulary)))], hidden, false)?;
        let table = table.table()?;
        let norm = loader.vector("model.norm.weight", ("hidden_size", Some(hidden)))?;
        loader.nothing_else()?;
        let frequencies = config.rope.frequencies(config.head_dim);
        let rotary = Mutex::new(Arc::new(Rotary::new(&frequencies, 0)));
        Ok(Self { config, table, layers, norm, head, frequencies, rotary })
    }

    /// Sizes and switches.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A sequence without tokens.
    pub fn start(&self) -> Sequence {
        Sequence { layers: vec![Cache::new(self.heads()); self.config.layers] }
    }

    /// Most tokens that one sequence may have: their keys and values are kept within 4 GiB.
    pub fn longest(&self) -> usize {
        let config = &self.config;
        let token = config.layers * config.key_value_heads * config.head_dim * 2 * size_of::<f32>();
        let longest = (MOST_KEPT / token.max(1)).max(ROWS);
        config.window.map_or(longest, |window| window.min(longest))
    }

    /// Checks that a sequence of that many tokens can be computed.
    ///
    /// # Errors
    /// `Kind::Value` that says what the limit is.
    pub fn check_length(&self, tokens: usize) -> Result<()> {
        let longest = self.longest();
        if tokens <= longest {
            return Ok(());
        }
        let why = match self.config.window {
            Some(window) if window == longest => "the model's sliding window",
            _ => "keys and values are kept within 4 GiB",
        };
        Err(Error::value(format!("the prompt has {tokens} tokens, expected at most {longest} ({why})")))
    }

    fn heads(&self) -> Heads {
        let Config { heads, key_value_heads, head_dim, .. } = self.config;
        Heads { queries: heads, keys: key_value_heads, width: head_dim }
    }

    /// Adds the runs' tokens to their sequences.
    ///
    /// Returns the logits at each run's last token, `[runs, vocabulary]`. `go_on` is asked after every layer of every
    /// pass; its error ends the work, and the sequences are of no use after that.
    ///
    /// # Errors
    /// `Kind::Value` for an id that is no row of the embedding, an empty run, or too many tokens; that of `go_on`.
    pub fn extend(
        &self,
        crew: &Crew,
        precision: Precision,
        runs: &mut [Run],
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<f32>> {
        let hidden = self.config.hidden;
        let mut last = vec![0.0; runs.len() * hidden];
        self.passes(crew, precision, runs, Some(&mut last), go_on)?;
        let mut normed = vec![0.0; last.len()];
        rms_norm_on(crew, &last, &mut normed, &self.norm, self.config.eps);
        let mut logits = vec![0.0; runs.len() * self.config.vocabulary];
        self.head.apply(crew, precision, &normed, &mut logits, Then::Store);
        Ok(logits)
    }

    /// Adds tokens to a sequence without asking what comes after them.
    ///
    /// # Errors
    /// As [`Decoder::extend`].
    pub fn remember(
        &self,
        crew: &Crew,
        precision: Precision,
        ids: &[u32],
        sequence: &mut Sequence,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.passes(crew, precision, &mut [Run { ids, prefix: None, sequence }], None, go_on)
    }

    /// Cuts the runs into passes of bounded size; `last` takes the final row of each run.
    fn passes(
        &self,
        crew: &Crew,
        precision: Precision,
        runs: &mut [Run],
        mut last: Option<&mut [f32]>,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut positions = 0;
        for run in &*runs {
            if run.ids.is_empty() {
                return Err(Error::value("expected at least one token, found none"));
            }
            let length = run.prefix.map_or(0, Sequence::len) + run.sequence.len() + run.ids.len();
            self.check_length(length)?;
            positions = positions.max(length);
        }
        let rotary = self.rotary(positions);
        let mut taken = vec![0; runs.len()];
        let mut first = 0;
        while first < runs.len() {
            // One pass: the rest of run `first`, then whole runs as long as there is room.
            let (mut rows, mut pieces) = (0, Vec::new());
            for (number, run) in runs.iter().enumerate().skip(first) {
                let left = run.ids.len() - taken[number];
                let piece = left.min(ROWS - rows);
                if piece == 0 || (!pieces.is_empty() && piece < left) {
                    break;
                }
                pieces.push(piece);
                rows += piece;
            }
            let mut pass = Vec::with_capacity(pieces.len());
            for ((run, taken), &piece) in runs[first..].iter_mut().zip(&mut taken[first..]).zip(&pieces) {
                let ids = &run.ids[*taken..][..piece];
                *taken += piece;
                let done = *taken == run.ids.len();
                pass.push(Piece { ids, prefix: run.prefix, sequence: run.sequence, done });
            }
            let finished = pass.iter().filter(|piece| piece.done).count();
            let width = self.config.hidden;
            let wanted = last.as_deref_mut().map(|last| &mut last[first * width..][..finished * width]);
            self.pass(crew, precision, &rotary, &mut pass, wanted, go_on)?;
            first += finished;
        }
        Ok(())
    }

    /// One pass through the layers; `wanted` takes the last rows of the pieces that are done.
    fn pass(
        &self,
        crew: &Crew,
        precision: Precision,
        rotary: &Rotary,
        pieces: &mut [Piece],
        mut wanted: Option<&mut [f32]>,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let (heads, &Config { hidden, intermediate, eps, .. }) = (self.heads(), &self.config);
        let mut rows: usize = pieces.iter().map(|piece| piece.ids.len()).sum();
        let mut x = vec![0.0; rows * hidden];
        let ids = pieces.iter().flat_map(|piece| piece.ids);
        for (row, &id) in x.chunks_exact_mut(hidden).zip(ids) {
            self.table.read(id as usize, row)?;
        }
        let mut normed = vec![0.0; rows * hidden];
        let mut next = vec![0.0; rows * hidden];
        let mut qkv = vec![0.0; rows * heads.qkv()];
        let mut attended = vec![0.0; rows * heads.out()];
        let mut inner = vec![0.0; rows * intermediate];
        for (number, layer) in self.layers.iter().enumerate() {
            rms_norm_on(crew, &x, &mut normed, &layer.before_attention, eps);
            layer.qkv.apply(crew, precision, &normed, &mut qkv, Then::Store);
            let mut parts: Vec<Part> = pieces
                .iter_mut()
                .map(|piece| Part {
                    rows: piece.ids.len(),
                    prefix: piece.prefix.map(|prefix| &prefix.layers[number]),
                    cache: &mut piece.sequence.layers[number],
                })
                .collect();
            attention::decoder(crew, heads, rotary, &qkv, &mut parts, &mut attended);
            if number + 1 == self.layers.len() {
                rows = keep_last(&mut x, hidden, pieces, wanted.is_some());
                keep_last(&mut attended, heads.out(), pieces, wanted.is_some());
                if rows == 0 {
                    return go_on();
                }
                for (buffer, width) in [(&mut normed, hidden), (&mut next, hidden), (&mut inner, intermediate)] {
                    buffer.truncate(rows * width);
                }
            }
            layer.out.apply(crew, precision, &attended, &mut next, Then::Add(&x));
            rms_norm_on(crew, &next, &mut normed, &layer.before_gated, eps);
            layer.gated.apply(crew, precision, &normed, &mut inner);
            layer.down.apply(crew, precision, &inner, &mut x, Then::Add(&next));
            go_on()?;
        }
        if let Some(wanted) = &mut wanted {
            wanted.copy_from_slice(&x);
        }
        Ok(())
    }

    /// Turns for at least that many positions, made once and grown when a longer prompt comes.
    fn rotary(&self, positions: usize) -> Arc<Rotary> {
        let grown = || Arc::new(Rotary::new(&self.frequencies, positions.next_power_of_two().max(1024)));
        // Never waited for: a process forked from a thread that holds it could wait for ever.
        let Ok(mut rotary) = self.rotary.try_lock() else { return grown() };
        if rotary.positions() < positions {
            *rotary = grown();
        }
        Arc::clone(&rotary)
    }
}

/// Keeps the last row of each piece that ends its run, or none; returns how many.
fn keep_last(rows: &mut Vec<f32>, width: usize, pieces: &[Piece], wanted: bool) -> usize {
    let (mut end, mut kept) = (0, 0);
    for piece in pieces {
        end += piece.ids.len();
        if piece.done && wanted {
            rows.copy_within((end - 1) * width..end * width, kept * width);
            kept += 1;
        }
    }
    rows.truncate(kept * width);
    kept
}

impl Gated {
    fn apply(&self, crew: &Crew, precision: Precision, x: &[f32], out: &mut [f32]) {
        match self {
            Self::Joined(both) => both.apply(crew, precision, x, out, Then::Store),
            Self::Apart { gate, up } => {
                let mut gates = vec![0.0; out.len()];
                gate.apply(crew, precision, x, &mut gates, Then::Store);
                up.apply(crew, precision, x, out, Then::Store);
                out.iter_mut().zip(gates).for_each(|(up, gate)| *up *= gate / (1.0 + (-gate).exp()));
            }
        }
    }
}

/// Packs weights and gives their pages back.
struct Loader<'a> {
    mapped: &'a Mapped,
    config: &'a Config,
    /// Names of the tensors that were asked for.
    used: RefCell<HashSet<String>>,
}

impl<'a> Loader<'a> {
    fn tensor(&self, name: &str, dims: &[Dim]) -> Result<View<'a>> {
        let view = self.mapped.tensor(name, dims)?;
        self.used.borrow_mut().insert(name.to_owned());
        Ok(view)
    }

    fn vector(&self, name: &str, dim: Dim) -> Result<Vec<f32>> {
        self.tensor(name, &[dim])?.to_f32()
    }

    /// Refuses tensors that the configuration has no place for: biases it switches off, layers beyond its number.
    fn nothing_else(&self) -> Result<()> {
        let no_part =
            |name: &str| (self.config.tied && name == "lm_head.weight") || name.ends_with(".rotary_emb.inv_freq");
        let network = format!("the decoder of {} layers that config.json describes", self.config.layers);
        self.mapped.nothing_but(&self.used.borrow(), no_part, network)
    }

    fn layer(&self, number: usize) -> Result<Layer> {
        let Config { hidden, intermediate, heads, key_value_heads, head_dim, .. } = *self.config;
        let name = |part: &str| format!("model.layers.{number}.{part}");
        let norm = |part: &str| self.vector(&name(part), ("hidden_size", Some(hidden)));
        let (queries, keys) = (("queries", Some(heads * head_dim)), ("keys", Some(key_value_heads * head_dim)));
        let inner = ("intermediate_size", Some(intermediate));
        let [q, k, v] = ["q", "k", "v"].map(|part| name(&format!("self_attn.{part}_proj.weight")));
        let (gate, up) = (name("mlp.gate_proj.weight"), name("mlp.up_proj.weight"));
        let gated = if self.config.mlp_bias {
            let [gate, up] = [gate, up].map(|part| self.linear(&[(&part, inner)], hidden, true));
            Gated::Apart { gate: gate?, up: up? }
        } else {
            Gated::Joined(self.pack(&[(&gate, inner), (&up, inner)], hidden, false, |weights, _| {
                Linear::gated(weights[0], weights[1], hidden)
            })?)
        };
        let out = ("hidden_size", Some(hidden));
        Ok(Layer {
            before_attention: norm("input_layernorm.weight")?,
            qkv: self.linear(&[(&q, queries), (&k, keys), (&v, keys)], hidden, self.config.qkv_bias)?,
            out: self.linear(&[(&name("self_attn.o_proj.weight"), out)], heads * head_dim, self.config.out_bias)?,
            before_gated: norm("post_attention_layernorm.weight")?,
            gated,
            down: self.linear(&[(&name("mlp.down_proj.weight"), out)], intermediate, self.config.mlp_bias)?,
        })
    }

    fn linear(&self, parts: &[(&str, Dim)], inputs: usize, bias: bool) -> Result<Linear> {
        self.pack(parts, inputs, bias, |weights, biases| Linear::joined(weights, biases, inputs))
    }

    fn pack(
        &self,
        parts: &[(&str, Dim)],
        inputs: usize,
        bias: bool,
        pack: impl FnOnce(&[Stored], Option<&[&[f32]]>) -> Linear,
    ) -> Result<Linear> {
        let view = |&(name, dim): &(&str, Dim)| self.tensor(name, &[dim, ("inputs", Some(inputs))]);
        let views = parts.iter().map(view).collect::<Result<Vec<View>>>()?;
        let weights = views.iter().map(View::weights).collect::<Result<Vec<Weights>>>()?;
        let alike = weights.iter().all(|part| matches!(part.stored(), Stored::Bf16(_)))
            || weights.iter().all(|part| matches!(part.stored(), Stored::F32(_)));
        if !alike {
            let names: Vec<_> = parts.iter().map(|part| part.0).collect();
            return Err(self.mapped.wrong(format!("expected {} to hold one type of numbers", names.join(", "))));
        }
        let biases = parts.iter().filter(|_| bias).map(|&(name, dim)| {
            let name = name.strip_suffix("weight").unwrap_or(name);
            self.vector(&format!("{name}bias"), dim)
        });
        let biases = biases.collect::<Result<Vec<_>>>()?;
        let biases: Vec<&[f32]> = biases.iter().map(Vec::as_slice).collect();
        let stored: Vec<Stored> = weights.iter().map(Weights::stored).collect();
        let packed = pack(&stored, bias.then_some(&biases));
        drop(weights);
        for view in &views {
            self.mapped.release(view);
        }
        Ok(packed)
    }
}

/// The first of the largest numbers, as torch picks it.
///
/// # Errors
/// `Kind::Checkpoint` when a number is infinite or NaN: sums of finite weights have overflowed.
pub fn largest(logits: &[f32]) -> Result<usize> {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        if !logit.is_finite() {
            let message =
                format!("the model's output {index} is {logit}, expected a finite number: its weights overflow");
            return Err(Error::new(Kind::Checkpoint, message));
        }
        if logit > logits[best] {
            best = index;
        }
    }
    Ok(best)
}
