//! The sequence classifier: the classes of a prompt are "strong wins", "tie" and "weak wins".

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::neural::encoder::{Encoder, Sequence};
use crate::text::tokenizer::{Encoded, Tokenizer};

/// Prompts whose tokens are held at a time; they are sorted by length within it.
const HELD: usize = 512;

/// Classes of which the last two speak against the strong model.
const FEWEST_LABELS: usize = 3;

/// A loaded checkpoint with its tokenizer. Cheap to share between threads.
#[derive(Debug)]
pub struct BertModel {
    folder: PathBuf,
    tokenizer: Tokenizer,
    encoder: Encoder,
}

impl BertModel {
    /// Loads a folder (or the `model.safetensors` in it): weights, `config.json`, `tokenizer.json` and what describes it.
    ///
    /// # Errors
    /// As [`Encoder::load`] and [`Tokenizer::open`]; `Kind::Value` for fewer than three labels.
    pub fn load(path: &Path, labels: usize) -> Result<Self> {
        if labels < FEWEST_LABELS {
            return Err(Error::value(format!(
                "num_labels: a win rate needs at least {FEWEST_LABELS} (strong wins, tie, weak wins), found {labels}"
            )));
        }
        let folder = if path.is_file() { path.parent().unwrap_or(path) } else { path };
        if !folder.is_dir() {
            return Err(Error::new(Kind::Missing, format!("there is no file or folder {}", path.display())));
        }
        let encoder = Encoder::load(folder, labels)?;
        let tokenizer = Tokenizer::open(folder)?.truncating()?;
        Ok(Self { folder: folder.to_path_buf(), tokenizer, encoder })
    }

    /// Where it was loaded from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its tokenizer; long texts are cut as `tokenizer_config.json` says.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Its network.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Most tokens of a text: longer ones are cut there, or, if the tokenizer cuts later, are an error.
    pub fn most_tokens(&self) -> usize {
        let table = self.encoder.config().most_tokens();
        self.tokenizer.max_length().map_or(table, |length| length.min(table))
    }

    /// Logits `[n, labels]` of texts.
    ///
    /// `advanced` is called with the number of texts newly done, a few times a second; its error ends the work.
    pub fn logits(
        &self,
        texts: &[impl AsRef<str>],
        threads: Option<usize>,
        mut advanced: impl FnMut(usize) -> Result<()>,
    ) -> Result<Vec<f32>> {
        let labels = self.encoder.labels();
        let mut logits = vec![0.0; texts.len() * labels];
        let many = texts.len() > 1;
        for (part, texts) in texts.chunks(HELD).enumerate() {
            let first = part * HELD;
            let at = |index: usize| move |e: Error| if many { e.context(format!("text {index}")) } else { e };
            let mut encoded = Vec::with_capacity(texts.len());
            for (index, text) in texts.iter().enumerate() {
                encoded.push(self.tokenizer.encode_typed(text.as_ref()).map_err(at(first + index))?);
                if index % 64 == 63 {
                    advanced(0)?;
                }
            }
            let lengths: Vec<usize> = encoded.iter().map(|text: &Encoded| text.ids.len()).collect();
            for pass in Encoder::passes(&lengths) {
                let sequence = |&index: &usize| Sequence { ids: &encoded[index].ids, types: &encoded[index].types };
                let sequences: Vec<Sequence> = pass.iter().map(sequence).collect();
                for (&index, sequence) in pass.iter().zip(&sequences) {
                    self.encoder.check(*sequence).map_err(at(first + index))?;
                }
                let results = self.encoder.logits(threads, &sequences)?;
                for (&index, result) in pass.iter().zip(results.chunks_exact(labels)) {
                    logits[(first + index) * labels..][..labels].copy_from_slice(result);
                }
                advanced(pass.len())?;
            }
        }
        Ok(logits)
    }

    /// Win rates of the strong model; `advanced` as in [`Self::logits`].
    pub fn win_rates(
        &self,
        texts: &[impl AsRef<str>],
        threads: Option<usize>,
        advanced: impl FnMut(usize) -> Result<()>,
    ) -> Result<Vec<f64>> {
        let logits = self.logits(texts, threads, advanced)?;
        Ok(logits.chunks_exact(self.encoder.labels()).map(win_rate).collect())
    }
}

/// One minus the probability of the last two classes: softmax and their sum in f32, the difference in f64, as in the
/// original.
fn win_rate(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f32> = logits.iter().map(|logit| (logit - max).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    let last = exponentials.len().saturating_sub(2);
    let against: f32 = exponentials[last..].iter().map(|exponential| exponential / sum).sum();
    // The sum of two roundings may lie a hair above one.
    (1.0 - f64::from(against)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_win_rate_is_what_the_last_two_classes_leave() {
        assert_eq!(win_rate(&[0.0, 0.0, 0.0]), 1.0 - f64::from(1.0_f32 / 3.0 + 1.0_f32 / 3.0));
        assert!(
            (win_rate(&[2.0, 0.0, -1.0, 0.0]) - (2.0_f64.exp() + 1.0) / (2.0_f64.exp() + 2.0 + (-1.0_f64).exp())).abs()
                < 1e-6
        );
        for logits in [[1e30, -1e30, 0.0], [-1e30, 1e30, 0.0], [-50.0, 3.0, 3.1]] {
            assert!((0.0..=1.0).contains(&win_rate(&logits)), "{logits:?}");
        }
    }
}
