//! The embedded router: no file, key or network, a few microseconds a prompt.
//!
//! A prompt's `WordPiece` ids are looked up in a static table and averaged; the direction of that mean and some forty
//! lexical features go through one logistic head. `scripts/build_table.py` writes the table, `scripts/train_local.py`
//! the head; `docs/local-router.md` says what the scores are good for, and what not.

mod head;

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::error::Result;
use crate::text::featuriser::{Features, Featuriser, for_each_row, kept};
use crate::text::lexical;
use crate::text::table::{DIM, MAX_IDS};

use head::Head;

static HEAD_FILE: &[u8] = include_bytes!("../../data/local/head.json");

/// The router `local`.
#[derive(Debug, Clone)]
pub struct LocalModel<'a> {
    featuriser: Featuriser<'a>,
    head: Head,
    /// Where the vocabulary has each id, found for the first explanation.
    places: OnceLock<Vec<u32>>,
}

/// One term of a score, in units of its logit; positive terms speak for the strong model.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// A lexical feature's name, `word "..."` for a piece of the vocabulary, `base` for what every text has, or
    /// `short request` for what being short adds.
    pub name: String,
    /// Its part of the logit. A lexical feature is counted from its mean over the training data.
    pub logit: f64,
}

impl LocalModel<'static> {
    /// The one in this binary, read on first use (about a millisecond).
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<LocalModel<'static>>> = OnceLock::new();
        kept(SHARED.get_or_init(|| {
            Ok(LocalModel {
                featuriser: Featuriser::shared()?.clone(),
                head: Head::from_bytes(HEAD_FILE)?,
                places: OnceLock::new(),
            })
        }))
    }
}

impl<'a> LocalModel<'a> {
    /// A model from a table (`scripts/build_table.py`) and a head (`scripts/train_local.py`).
    ///
    /// # Errors
    /// [`Kind::Checkpoint`](crate::Kind::Checkpoint) says which of the two is damaged, and how.
    pub fn from_bytes(table: &'a [u8], head: &[u8]) -> Result<Self> {
        Ok(Self { featuriser: Featuriser::from_bytes(table)?, head: Head::from_bytes(head)?, places: OnceLock::new() })
    }

    /// Its untrained half.
    pub fn featuriser(&self) -> &Featuriser<'a> {
        &self.featuriser
    }

    /// The strong model's win rate for `text`, in 0..=1: a compressed ranking of tasks, not a probability.
    pub fn score(&self, text: &str) -> f64 {
        self.head.score(&self.featuriser.features(text))
    }

    /// The logit of the win rate of a text with these features.
    pub fn logit_of(&self, features: &Features) -> f64 {
        self.head.logit(features)
    }

    /// [`score`](Self::score) of each text, in order, on up to `threads` threads (0 counts as 1).
    pub fn score_batch<T: AsRef<str> + Sync>(&self, texts: &[T], threads: usize) -> Vec<f64> {
        let mut scores = vec![0.0; texts.len()];
        for_each_row(texts, &mut scores, 1, threads, |text, score| score[0] = self.score(text.as_ref()));
        scores
    }

    /// 100 quantiles of the score over a mixed reference, rising: what a share of calls is measured with before there
    /// are scores of one's own.
    pub fn quantiles(&self) -> &[f64] {
        &self.head.quantiles
    }

    /// Where the head comes from, as JSON: data and their hash, recipe, date.
    pub fn card(&self) -> &str {
        &self.head.card
    }

    /// The terms of a text's score, largest first; they add up to its logit.
    pub fn explain(&self, text: &str) -> Vec<Contribution> {
        let mut terms = self.featuriser.with_ids(text, |ids, features| {
            let mut terms = self.word_terms(&ids[..ids.len().min(MAX_IDS)], &features);
            let lexical = lexical::NAMES.into_iter().zip(self.head.lexical_terms(&features));
            let named = lexical.chain(self.head.base_terms(&features));
            terms.extend(named.map(|(name, logit)| Contribution { name: name.to_owned(), logit }));
            terms
        });
        terms.retain(|term| term.logit != 0.0);
        terms.sort_by(|a, b| b.logit.abs().total_cmp(&a.logit.abs()).then_with(|| a.name.cmp(&b.name)));
        terms
    }

    /// Each piece's part of the embedding's term.
    fn word_terms(&self, ids: &[u16], features: &Features) -> Vec<Contribution> {
        let table = self.featuriser.table();
        let mut by_id = HashMap::<u16, f64>::new();
        let mut sum = [0.0; DIM];
        for &id in ids {
            let row = table.row(id);
            sum.iter_mut().zip(row).for_each(|(sum, entry)| *sum += f64::from(entry));
            *by_id.entry(id).or_default() += self.head.embedding_term(&row, features);
        }
        let norm = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        let vocabulary = table.tokenizer().vocabulary();
        let places = self.places.get_or_init(|| vocabulary.places());
        by_id
            .into_iter()
            .filter_map(|(id, logit)| {
                let piece = vocabulary.piece_at(*places.get(usize::from(id))?)?;
                let logit = logit / norm.max(1.0);
                let before = if piece.continuation { "##" } else { "" };
                Some(Contribution { name: format!("word \"{before}{}\"", piece.text), logit })
            })
            .collect()
    }
}
