//! `config.json` of a Llama-like decoder, and the end-of-text ids of `generation_config.json`.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::rope::Rope;
use crate::data::entries;
use crate::error::{Error, Kind, Result};

/// Longest configuration file that is read.
const LONGEST: u64 = 1 << 20;

/// `sliding_window` where a configuration does not have it; `null` says that there is none.
const USUAL_WINDOW: usize = 4096;

/// Largest size of anything a configuration may ask for: products of three of them still fit.
const LARGEST: usize = 1 << 21;

/// The sizes and switches of a decoder.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "the format's own switches")]
pub struct Config {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the gated layer.
    pub intermediate: usize,
    /// Number of layers.
    pub layers: usize,
    /// Heads that ask.
    pub heads: usize,
    /// Heads that hold keys and values.
    pub key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Rows of the embedding and outputs of the model.
    pub vocabulary: usize,
    /// Added to the mean square under the root.
    pub eps: f32,
    /// Frequencies of the positions.
    pub rope: Rope,
    /// Positions the model was made for; longer prompts are computed all the same, as by the original.
    pub positions: usize,
    /// Most tokens that attend to each other, where the model limits that.
    pub window: Option<usize>,
    /// Whether the embedding is also the output layer.
    pub tied: bool,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether the attention's output has a bias.
    pub out_bias: bool,
    /// Whether the layers of the gated part have biases.
    pub mlp_bias: bool,
    /// Ids that end a text.
    pub end_of_text: Vec<u32>,
}

/// `config.json` as far as it is read.
#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: Option<usize>,
    hidden_act: Option<String>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<Value>,
    max_position_embeddings: Option<usize>,
    #[serde(default = "usual_window")]
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    eos_token_id: Option<Value>,
    quantization_config: Option<Value>,
}

#[expect(clippy::unnecessary_wraps, reason = "the type of the field")]
fn usual_window() -> Option<usize> {
    Some(USUAL_WINDOW)
}

/// `generation_config.json`: the ids that end a text, and what must not be asked for.
///
/// How to draw a token (`do_sample`, `temperature`, ...) has no effect on a greedy continuation.
type Generation = Map<String, Value>;

/// What would change a greedy continuation, and the numbers that ask for nothing.
const CHANGES: [(&str, f64); 9] = [
    ("num_beams", 1.0),
    ("repetition_penalty", 1.0),
    ("no_repeat_ngram_size", 0.0),
    ("min_length", 0.0),
    ("min_new_tokens", 0.0),
    ("bad_words_ids", 0.0),
    ("suppress_tokens", 0.0),
    ("begin_suppress_tokens", 0.0),
    ("sequence_bias", 0.0),
];

impl Config {
    /// Reads `config.json` and `generation_config.json` of a checkpoint folder.
    ///
    /// # Errors
    /// `Kind::Missing` without a `config.json`; `Kind::Unsupported` for another kind of model; `Kind::Checkpoint` for
    /// sizes that do not fit each other.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let Some(raw) = read::<Raw>(&path)? else {
            return Err(Error::new(Kind::Missing, format!("the folder {} holds no config.json", folder.display())));
        };
        let mut config = Self::from_raw(&raw).map_err(|e| e.context(path.display()))?;
        let path = folder.join("generation_config.json");
        if let Some(generation) = read::<Generation>(&path)? {
            config.end_of_text = end_of_text(&generation).map_err(|e| e.context(path.display()))?;
        }
        Ok(config)
    }

    fn from_raw(raw: &Raw) -> Result<Self> {
        let kind = raw.model_type.as_deref().unwrap_or("(none)");
        let (qkv_bias, out_bias, mlp_bias) = match kind {
            "llama" => {
                let attention = raw.attention_bias.unwrap_or(false);
                (attention, attention, raw.mlp_bias.unwrap_or(false))
            }
            "mistral" => (false, false, false),
            "qwen2" => (true, false, false),
            _ => {
                let message =
                    format!("expected model_type \"llama\", \"mistral\" or \"qwen2\", found {kind:?}: no such decoder");
                return Err(Error::new(Kind::Unsupported, message));
            }
        };
        if raw.quantization_config.is_some() {
            let message = "quantized weights (quantization_config) are not read; expected bfloat16 or float32 ones";
            return Err(Error::new(Kind::Unsupported, message));
        }
        let activation = raw.hidden_act.as_deref().unwrap_or("silu");
        if activation != "silu" {
            return Err(Error::new(Kind::Unsupported, format!("expected hidden_act \"silu\", found {activation:?}")));
        }
        let hidden = size("hidden_size", raw.hidden_size)?;
        let heads = size("num_attention_heads", raw.num_attention_heads)?;
        let key_value_heads = size("num_key_value_heads", raw.num_key_value_heads.or(Some(heads)))?;
        if !heads.is_multiple_of(key_value_heads) {
            return Err(wrong(format!("{heads} attention heads cannot share {key_value_heads} key/value heads")));
        }
        let head_dim = match raw.head_dim {
            None if !hidden.is_multiple_of(heads) => {
                return Err(wrong(format!("hidden_size {hidden} is no multiple of num_attention_heads {heads}")));
            }
            None => hidden / heads,
            given => size("head_dim", given)?,
        };
        if !head_dim.is_multiple_of(2) {
            return Err(wrong(format!("heads are turned in halves, so head_dim must be even, found {head_dim}")));
        }
        let eps = raw.rms_norm_eps.unwrap_or(1e-6);
        if !(0.0..1.0).contains(&eps) {
            return Err(wrong(format!("expected rms_norm_eps of 0 to 1, found {eps}")));
        }
        let positions = size("max_position_embeddings", raw.max_position_embeddings.or(Some(2048)))?;
        let scaling = raw.rope_parameters.as_ref().or(raw.rope_scaling.as_ref());
        let slides = kind == "mistral" || (kind == "qwen2" && raw.use_sliding_window == Some(true));
        let window = raw.sliding_window.filter(|_| slides);
        if window == Some(0) {
            return Err(wrong("expected sliding_window of at least 1, or null for none; found 0"));
        }
        Ok(Self {
            hidden,
            intermediate: size("intermediate_size", raw.intermediate_size)?,
            layers: size("num_hidden_layers", raw.num_hidden_layers)?,
            heads,
            key_value_heads,
            head_dim,
            vocabulary: size("vocab_size", raw.vocab_size)?,
            eps: eps as f32,
            rope: Rope::read(raw.rope_theta, scaling, positions)?,
            positions,
            window,
            tied: raw.tie_word_embeddings.unwrap_or(false),
            qkv_bias,
            out_bias,
            mlp_bias,
            end_of_text: ids(raw.eos_token_id.as_ref())?,
        })
    }
}

/// The ids that end a text: those of this file alone, also where it names none.
fn end_of_text(generation: &Generation) -> Result<Vec<u32>> {
    for (name, nothing) in CHANGES {
        let asked = generation.get(name).filter(|value| match value {
            Value::Null => false,
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
            value => value.as_f64() != Some(nothing),
        });
        if let Some(value) = asked {
            let message = format!("{name} = {value} is not followed here; expected a plain greedy continuation");
            return Err(Error::new(Kind::Unsupported, message));
        }
    }
    ids(generation.get("eos_token_id"))
}

/// A JSON file, if it is there.
fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(None) };
    if metadata.len() > LONGEST {
        let (path, found) = (path.display(), metadata.len());
        return Err(wrong(format!("{path} has {found} bytes; at most {LONGEST} are read")));
    }
    let text = fs::read(path).map_err(|e| Error::new(Kind::Io, format!("cannot read {}: {e}", path.display())))?;
    entries::read(&text).map(Some).map_err(|e| wrong(format!("{}: {e}", path.display())))
}

fn size(name: &str, found: Option<usize>) -> Result<usize> {
    match found {
        Some(size) if (1..=LARGEST).contains(&size) => Ok(size),
        Some(size) => Err(wrong(format!("expected {name} of 1 to {LARGEST}, found {size}"))),
        None => Err(wrong(format!("{name} is missing"))),
    }
}

/// One id, a list of ids, or none.
fn ids(value: Option<&Value>) -> Result<Vec<u32>> {
    let one = |value: &Value| {
        let id = value.as_i64().ok_or_else(|| wrong(format!("expected eos_token_id to be ids, found {value}")))?;
        // Minus one is how some files say "none".
        Ok(u32::try_from(id).ok())
    };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().filter_map(|value| one(value).transpose()).collect(),
        Some(value) => Ok(one(value)?.into_iter().collect()),
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(Kind::Checkpoint, message)
}
