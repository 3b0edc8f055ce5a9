//! `config.json` of a sequence classifier.

use serde::Deserialize;

use crate::data::entries;
use crate::error::{Error, Kind, Result};
use crate::neural::ops::gelu;

/// Which of the two layouts a checkpoint has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `model_type` `bert`.
    Bert,
    /// `model_type` `roberta` or `xlm-roberta`.
    Roberta,
}

/// What follows the first product of a layer's second half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// GELU, with the error function.
    Gelu,
    /// GELU, with the hyperbolic tangent.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `x / (1 + exp(-x))`.
    Silu,
}

impl Activation {
    /// The function at each number, in place.
    pub fn apply(self, row: &mut [f32]) {
        const FACTOR: f32 = 0.797_884_6; // sqrt(2 / pi)
        let each = |row: &mut [f32], of: fn(f32) -> f32| row.iter_mut().for_each(|x| *x = of(*x));
        match self {
            Self::Gelu => gelu(row),
            Self::GeluTanh => each(row, |x| 0.5 * x * (1.0 + (FACTOR * (x + 0.044_715 * x * x * x)).tanh())),
            Self::Relu => each(row, |x| x.max(0.0)),
            Self::Silu => each(row, |x| x / (1.0 + (-x).exp())),
        }
    }
}

/// Sizes of a classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `model_type`, as written.
    pub model_type: String,
    /// Layout.
    pub family: Family,
    /// Numbers of a token between the layers.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of a layer's attention.
    pub heads: usize,
    /// Numbers of a token within a layer's second half.
    pub intermediate: usize,
    /// Rows of the word table.
    pub vocabulary: usize,
    /// Rows of the position table.
    pub positions: usize,
    /// Rows of the table of token types.
    pub types: usize,
    /// Id of padding; `RoBERTa` counts positions from it.
    pub pad: usize,
    /// What follows the first product of a layer's second half.
    pub activation: Activation,
    /// Added to the variance in layer norms.
    pub eps: f32,
}

/// As written; what is absent has the value transformers gives it.
#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    #[serde(default = "hidden")]
    hidden_size: usize,
    #[serde(default = "twelve")]
    num_hidden_layers: usize,
    #[serde(default = "twelve")]
    num_attention_heads: usize,
    #[serde(default = "intermediate")]
    intermediate_size: usize,
    #[serde(default = "vocabulary")]
    vocab_size: usize,
    #[serde(default = "positions")]
    max_position_embeddings: usize,
    #[serde(default = "types")]
    type_vocab_size: usize,
    pad_token_id: Option<usize>,
    #[serde(default = "act")]
    hidden_act: String,
    #[serde(default = "eps")]
    layer_norm_eps: f32,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
    #[serde(default)]
    add_cross_attention: bool,
}

fn hidden() -> usize {
    768
}

fn twelve() -> usize {
    12
}

fn intermediate() -> usize {
    3072
}

fn vocabulary() -> usize {
    30522
}

fn positions() -> usize {
    512
}

fn types() -> usize {
    2
}

fn act() -> String {
    "gelu".to_owned()
}

fn eps() -> f32 {
    1e-12
}

impl Config {
    /// Reads the text of a `config.json`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: String| Error::new(Kind::Checkpoint, what);
        let unsupported = |what: String| Error::new(Kind::Unsupported, what);
        let raw: Raw = entries::read(text.as_bytes()).map_err(|e| {
            wrong(format!("expected the object that transformers writes for a BERT or RoBERTa classifier: {e}"))
        })?;
        let (family, usual_pad) = match raw.model_type.as_deref() {
            Some("bert") => (Family::Bert, 0),
            Some("roberta" | "xlm-roberta") => (Family::Roberta, 1),
            other => {
                let found = other.map_or_else(|| "none".to_owned(), |name| format!("{:?}", cut(name)));
                return Err(unsupported(format!(
                    "model_type: expected \"bert\", \"roberta\" or \"xlm-roberta\", found {found}"
                )));
            }
        };
        let activation = match raw.hidden_act.as_str() {
            "gelu" | "gelu_python" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            "silu" | "swish" => Activation::Silu,
            other => {
                let found = cut(other);
                return Err(unsupported(format!(
                    "hidden_act: expected \"gelu\", \"gelu_new\", \"gelu_pytorch_tanh\", \"relu\" or \"silu\", found \
                     {found:?}"
                )));
            }
        };
        if let Some(kind) = raw.position_embedding_type.filter(|kind| kind != "absolute") {
            let found = cut(&kind);
            return Err(unsupported(format!("position_embedding_type: expected \"absolute\", found {found:?}")));
        }
        if raw.is_decoder || raw.add_cross_attention {
            return Err(unsupported("expected an encoder, found is_decoder or add_cross_attention".to_owned()));
        }
        let (hidden, heads) = (raw.hidden_size, raw.num_attention_heads);
        if hidden == 0 || heads == 0 || !hidden.is_multiple_of(heads) {
            return Err(wrong(format!(
                "expected a hidden_size that is a multiple of num_attention_heads, both at least 1; found {hidden} and \
                 {heads}"
            )));
        }
        for (name, size) in [
            ("intermediate_size", raw.intermediate_size),
            ("vocab_size", raw.vocab_size),
            ("type_vocab_size", raw.type_vocab_size),
            ("max_position_embeddings", raw.max_position_embeddings),
        ] {
            if size == 0 {
                return Err(wrong(format!("{name}: expected at least 1, found 0")));
            }
        }
        let pad = raw.pad_token_id.unwrap_or(usual_pad);
        let positions = raw.max_position_embeddings;
        if family == Family::Roberta && pad >= positions - 1 {
            return Err(wrong(format!(
                "pad_token_id: positions are counted from the one after it, so it is expected below {} (one less than \
                 max_position_embeddings), found {pad}",
                positions - 1
            )));
        }
        let eps = raw.layer_norm_eps;
        if !(eps >= 0.0 && eps.is_finite()) {
            return Err(wrong(format!("layer_norm_eps: expected a number of at least 0, found {eps}")));
        }
        Ok(Self {
            model_type: raw.model_type.unwrap_or_default(),
            family,
            hidden,
            layers: raw.num_hidden_layers,
            heads,
            intermediate: raw.intermediate_size,
            vocabulary: raw.vocab_size,
            positions,
            types: raw.type_vocab_size,
            pad,
            activation,
            eps,
        })
    }

    /// Most tokens of a sequence.
    pub fn most_tokens(&self) -> usize {
        match self.family {
            Family::Bert => self.positions,
            Family::Roberta => self.positions.saturating_sub(self.pad).saturating_sub(1),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(text)
    }

    #[test]
    fn absent_entries_have_the_usual_values() {
        let bert = parse(r#"{"model_type": "bert"}"#).unwrap();
        assert_eq!((bert.hidden, bert.layers, bert.heads, bert.pad, bert.positions), (768, 12, 12, 0, 512));
        let roberta = parse(r#"{"model_type": "roberta", "max_position_embeddings": 514}"#).unwrap();
        assert_eq!((roberta.pad, roberta.most_tokens(), bert.most_tokens()), (1, 512, 512));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (text, kind, named) in [
            ("[]", Kind::Checkpoint, "object"),
            ("{}", Kind::Unsupported, "model_type"),
            (r#"{"model_type": "llama"}"#, Kind::Unsupported, "llama"),
            (r#"{"model_type": "bert", "hidden_act": "gelu_odd"}"#, Kind::Unsupported, "gelu_odd"),
            (r#"{"model_type": "bert", "position_embedding_type": "relative_key"}"#, Kind::Unsupported, "relative_key"),
            (r#"{"model_type": "bert", "is_decoder": true}"#, Kind::Unsupported, "is_decoder"),
            (r#"{"model_type": "bert", "num_attention_heads": 7}"#, Kind::Checkpoint, "768 and 7"),
            (r#"{"model_type": "bert", "num_attention_heads": 0}"#, Kind::Checkpoint, "768 and 0"),
            (r#"{"model_type": "bert", "intermediate_size": 0}"#, Kind::Checkpoint, "intermediate_size"),
            (r#"{"model_type": "roberta", "pad_token_id": 512}"#, Kind::Checkpoint, "pad_token_id"),
            (r#"{"model_type": "roberta", "pad_token_id": 511}"#, Kind::Checkpoint, "below 511"),
            (r#"{"model_type": "roberta", "pad_token_id": -1}"#, Kind::Checkpoint, "pad_token_id: "),
            (r#"{"model_type": "bert", "layer_norm_eps": null}"#, Kind::Checkpoint, "layer_norm_eps: "),
            (r#"{"model_type": "bert", "hidden_size": -1}"#, Kind::Checkpoint, "hidden_size: "),
            (r#"{"model_type": "bert", "layer_norm_eps": -1}"#, Kind::Checkpoint, "layer_norm_eps"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.kind() == kind && error.message().contains(named), "{text}: {error:?}");
        }
        assert_eq!(parse(&"[".repeat(1 << 20)).unwrap_err().kind(), Kind::Checkpoint);
    }

    #[test]
    fn activations() {
        for (activation, expected) in [
            (Activation::Gelu, 0.841_344_7),
            (Activation::GeluTanh, 0.841_192),
            (Activation::Relu, 1.0),
            (Activation::Silu, 0.731_058_6),
        ] {
            let mut row = [1.0, -100.0, 0.0];
            activation.apply(&mut row);
            assert!((row[0] - expected).abs() < 1e-6, "{activation:?}");
            assert!(row[1..].iter().all(|x| x.abs() < 1e-6), "{activation:?}: {row:?}");
        }
    }
}
