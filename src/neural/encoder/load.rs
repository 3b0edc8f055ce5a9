//! Tensors of a checkpoint -> [`Encoder`].

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::{Attention, Config, Encoder, Family, Layer, Norm};
use crate::data::tensors::{CONFIG, cut};
use crate::error::{Error, Kind, Result};
use crate::neural::linear::{Linear, Stored};
use crate::neural::weights::{Mapped, View, Weights};

/// Largest `config.json` that is read.
const LARGEST: u64 = 16 << 20;

pub(super) fn load(folder: &Path, labels: usize) -> Result<Encoder> {
    let path = folder.join(CONFIG);
    let config = Config::parse(&read(&path)?).map_err(|e| e.context(path.display()))?;
    let mapped = Mapped::open(folder)?;
    Loader { mapped: &mapped, used: HashSet::new(), config }.encoder(labels)
}

fn read(path: &Path) -> Result<String> {
    if !path.is_file() {
        let folder = path.parent().unwrap_or(path).display();
        return Err(Error::new(Kind::Missing, format!("the folder {folder} holds no {CONFIG}")));
    }
    let mut text = String::new();
    let file = fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    file.map_err(|e| Error::new(Kind::Io, format!("cannot read {}: {e}", path.display())))?;
    Ok(text)
}

struct Loader<'a> {
    mapped: &'a Mapped,
    used: HashSet<String>,
    config: Config,
}

impl<'a> Loader<'a> {
    fn encoder(mut self, labels: usize) -> Result<Encoder> {
        let config = self.config.clone();
        let root = match config.family {
            Family::Bert => "bert",
            Family::Roberta => "roberta",
        };
        let hidden = ("hidden_size", Some(config.hidden));
        let embeddings = format!("{root}.embeddings");
        let words = format!("{embeddings}.word_embeddings.weight");
        let words = self.view(&words, &[("vocab_size", Some(config.vocabulary)), hidden])?.table()?;
        let positions = format!("{embeddings}.position_embeddings.weight");
        let positions =
            self.view(&positions, &[("max_position_embeddings", Some(config.positions)), hidden])?.to_f32()?;
        let types = format!("{embeddings}.token_type_embeddings.weight");
        let types = self.view(&types, &[("type_vocab_size", Some(config.types)), hidden])?.to_f32()?;
        let norm = self.norm(&format!("{embeddings}.LayerNorm"))?;
        // Not allocated at once: the number is the file's word.
        let mut layers = Vec::new();
        for layer in 0..config.layers {
            let last = layer + 1 == config.layers;
            layers.push(self.layer(&format!("{root}.encoder.layer.{layer}"), last)?);
        }
        let (dense, out) = match config.family {
            Family::Bert => ("bert.pooler.dense", "classifier"),
            Family::Roberta => ("classifier.dense", "classifier.out_proj"),
        };
        let dense = self.linear(dense, hidden, hidden)?;
        let out = self.head(out, labels)?;
        self.nothing_else(root)?;
        Ok(Encoder { config, words, positions, types, norm, layers, dense, out })
    }

    fn layer(&mut self, name: &str, last: bool) -> Result<Layer> {
        let (hidden, heads) = ("hidden_size", format!("{name}.attention.self"));
        let hidden = (hidden, Some(self.config.hidden));
        let part = |part: &str| format!("{heads}.{part}");
        let attention = if last {
            Attention::First {
                query: self.joined(&[&part("query")])?,
                rest: self.joined(&[&part("key"), &part("value")])?,
            }
        } else {
            Attention::All(self.joined(&[&part("query"), &part("key"), &part("value")])?)
        };
        let intermediate = ("intermediate_size", Some(self.config.intermediate));
        Ok(Layer {
            attention,
            output: self.linear(&format!("{name}.attention.output.dense"), hidden, hidden)?,
            attention_norm: self.norm(&format!("{name}.attention.output.LayerNorm"))?,
            up: self.linear(&format!("{name}.intermediate.dense"), intermediate, hidden)?,
            down: self.linear(&format!("{name}.output.dense"), hidden, intermediate)?,
            norm: self.norm(&format!("{name}.output.LayerNorm"))?,
        })
    }

    /// The last product; its number of rows is what the caller asked for.
    fn head(&mut self, name: &str, labels: usize) -> Result<Linear> {
        let (rows, hidden) = (("num_labels", None), ("hidden_size", Some(self.config.hidden)));
        let found = self.view(&format!("{name}.weight"), &[rows, hidden])?.shape()[0];
        if found != labels {
            return Err(self.mapped.wrong(format!(
                "num_labels={labels} was asked for, the checkpoint has num_labels={found} (rows of `{name}.weight`)"
            )));
        }
        self.linear(name, ("num_labels", Some(labels)), hidden)
    }

    /// `[outputs, inputs]` and a bias.
    fn linear(&mut self, name: &str, outputs: (&str, Option<usize>), inputs: (&str, Option<usize>)) -> Result<Linear> {
        let view = self.view(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = self.vector(&format!("{name}.bias"), outputs)?;
        let linear = Linear::new(view.weights()?.stored(), Some(&bias), inputs.1.unwrap_or(0));
        self.mapped.release(&view);
        Ok(linear)
    }

    /// Square layers with the same input, side by side.
    fn joined(&mut self, names: &[&str]) -> Result<Linear> {
        let hidden = ("hidden_size", Some(self.config.hidden));
        let (mut views, mut biases) = (Vec::new(), Vec::new());
        for name in names {
            views.push(self.view(&format!("{name}.weight"), &[hidden, hidden])?);
            biases.push(self.vector(&format!("{name}.bias"), hidden)?);
        }
        let weights = views.iter().map(View::weights).collect::<Result<Vec<Weights>>>()?;
        let mut stored: Vec<Stored> = weights.iter().map(Weights::stored).collect();
        // A file may mix its types; side by side, weights have one.
        let widened: Vec<Vec<u8>>;
        let wide = stored.iter().filter(|part| matches!(part, Stored::F32(_))).count();
        if wide > 0 && wide < stored.len() {
            let bytes = |view: &View| Ok(view.to_f32()?.into_iter().flat_map(f32::to_le_bytes).collect());
            widened = views.iter().map(bytes).collect::<Result<_>>()?;
            stored = widened.iter().map(|bytes| Stored::F32(bytes)).collect();
        }
        let biases: Vec<&[f32]> = biases.iter().map(Vec::as_slice).collect();
        let linear = Linear::joined(&stored, Some(&biases), self.config.hidden);
        drop(weights);
        for view in &views {
            self.mapped.release(view);
        }
        Ok(linear)
    }

    /// Checkpoints of before 2020 call a norm's weight gamma and its bias beta.
    fn norm(&mut self, name: &str) -> Result<Norm> {
        let hidden = ("hidden_size", Some(self.config.hidden));
        let pick = |now: &str, then: &str, mapped: &Mapped| {
            let (now, then) = (format!("{name}.{now}"), format!("{name}.{then}"));
            if !mapped.has(&now) && mapped.has(&then) { then } else { now }
        };
        let (weight, bias) = (pick("weight", "gamma", self.mapped), pick("bias", "beta", self.mapped));
        Ok(Norm { weight: self.vector(&weight, hidden)?, bias: self.vector(&bias, hidden)? })
    }

    fn vector(&mut self, name: &str, dim: (&str, Option<usize>)) -> Result<Vec<f32>> {
        self.view(name, &[dim])?.to_f32()
    }

    fn view(&mut self, name: &str, shape: &[(&str, Option<usize>)]) -> Result<View<'a>> {
        let view = self.mapped.tensor(name, shape)?;
        self.used.insert(name.to_owned());
        Ok(view)
    }

    /// Refuses tensors that the network would not use, but for those that are known to have no part in it.
    fn nothing_else(&self, root: &str) -> Result<()> {
        let pooler = format!("{root}.pooler.");
        let harmless = |name: &str| {
            name.ends_with(".position_ids")
                || name.ends_with(".token_type_ids")
                || name.starts_with("lm_head.")
                || name.starts_with("cls.")
                || name.starts_with(&pooler)
        };
        let (kind, layers) = (cut(&self.config.model_type), self.config.layers);
        self.mapped.nothing_but(&self.used, harmless, format!("a {kind} classifier of {layers} layers"))
    }
}
