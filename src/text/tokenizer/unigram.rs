//! The Unigram model in little memory, with the crate's results.
//!
//! The crate keeps a hash map for each node of a trie: 300 MB for the 250,002 pieces of XLM-RoBERTa, as much as the
//! network itself. Here the pieces lie in one text, and a prefix is searched in their sorted order.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokenizers::Token;
use tokenizers::models::{ModelWrapper, TrainerWrapper, unigram::UnigramTrainer};

/// How much worse than the worst piece an unknown character counts.
const UNKNOWN_PENALTY: f64 = 10.0;

/// Any model of the crate, but for Unigram. Read from JSON, it is a Unigram.
#[derive(Clone, Deserialize)]
#[serde(from = "Unigram")]
pub(super) enum Model {
    Unigram(Unigram),
    Other(Box<ModelWrapper>),
}

impl From<Unigram> for Model {
    fn from(model: Unigram) -> Self {
        Self::Unigram(model)
    }
}

/// Pieces, each with a score; a text is cut into those whose scores add up to the most.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Stored")]
pub(super) struct Unigram {
    /// All pieces, one after the other in order of their ids.
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
    scores: Vec<f64>,
    /// Ids in order of their pieces' bytes; of equal pieces the last.
    sorted: Vec<u32>,
    unknown: Option<u32>,
    unknown_score: f64,
    byte_fallback: bool,
}

/// As it stands in `tokenizer.json`.
#[derive(Deserialize)]
struct Stored {
    vocab: Vec<(String, f64)>,
    unk_id: Option<usize>,
    #[serde(default)]
    byte_fallback: bool,
}

impl TryFrom<Stored> for Unigram {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { vocab, unk_id, byte_fallback } = stored;
        let text: String = vocab.iter().map(|(piece, _)| piece.as_str()).collect();
        let (Ok(_), Ok(pieces)) = (u32::try_from(text.len()), u32::try_from(vocab.len())) else {
            return Err(format!("Unigram: {} pieces of {} bytes are too many", vocab.len(), text.len()));
        };
        if let Some(id) = unk_id.filter(|&id| id >= vocab.len()) {
            return Err(format!("Unigram: unk_id is {id}, but there are {pieces} pieces"));
        }
        let ends = vocab.iter().scan(0, |end, (piece, _)| {
            *end += piece.len() as u32;
            Some(*end)
        });
        let mut model = Self {
            ends: ends.collect(),
            scores: vocab.iter().map(|&(_, score)| score).collect(),
            sorted: (0..pieces).collect(),
            unknown: unk_id.map(|id| id as u32),
            unknown_score: vocab.iter().map(|&(_, score)| score).fold(f64::INFINITY, f64::min) - UNKNOWN_PENALTY,
            byte_fallback,
            text,
        };
        let mut sorted = std::mem::take(&mut model.sorted);
        sorted.sort_by(|&a, &b| model.piece(a).cmp(model.piece(b)).then(b.cmp(&a)));
        sorted.dedup_by(|next, kept| model.piece(*next) == model.piece(*kept));
        sorted.shrink_to_fit();
        model.sorted = sorted;
        Ok(model)
    }
}

/// The best way to reach a place in a text. Small: a text has as many as bytes.
#[derive(Clone, Copy)]
struct Step {
    score: f64,
    id: u32,
    /// Where the last piece starts; [`NOWHERE`] while the place has not been reached.
    start: u32,
}

const NOWHERE: u32 = u32::MAX;

/// Stands for the id of an unknown character where there is none.
const NO_ID: u32 = u32::MAX;

impl Unigram {
    fn piece(&self, id: u32) -> &str {
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        &self.text[start as usize..self.ends[id as usize] as usize]
    }

    fn id(&self, piece: &str) -> Option<u32> {
        let found = self.sorted.binary_search_by(|&id| self.piece(id).cmp(piece));
        found.ok().map(|place| self.sorted[place])
    }

    /// Calls `found` with each piece that `text` begins with, short ones first: its length and id.
    fn prefixes(&self, text: &str, mut found: impl FnMut(usize, u32)) {
        // Pieces that share the first `depth` bytes of the text.
        let mut range = 0..self.sorted.len();
        for (depth, &byte) in text.as_bytes().iter().enumerate() {
            let at = |&id: &u32| self.piece(id).as_bytes().get(depth).copied();
            let part = &self.sorted[range.clone()];
            // A piece that ends here has `None`, which comes before every byte.
            let first = range.start + part.partition_point(|id| at(id) < Some(byte));
            let last = first + self.sorted[first..range.end].partition_point(|id| at(id) == Some(byte));
            range = first..last;
            let Some(&id) = self.sorted[range.clone()].first() else { return };
            if self.piece(id).len() == depth + 1 {
                found(depth + 1, id);
            }
        }
    }

    /// Parts of the text, each with the id of its piece; neighbours that are unknown are one part.
    fn cut(&self, text: &str) -> tokenizers::Result<Vec<Range<usize>>> {
        if text.len() >= NOWHERE as usize {
            return Err("a word of 4 GiB cannot be cut into pieces".into());
        }
        let mut best = vec![Step { score: 0.0, id: NO_ID, start: NOWHERE }; text.len() + 1];
        for (start, character) in text.char_indices() {
            let score = best[start].score;
            let mut offer = |length: usize, id: u32, own: f64| {
                let step = Step { score: own + score, id, start: start as u32 };
                let place = &mut best[start + length];
                if place.start == NOWHERE || step.score > place.score {
                    *place = step;
                }
            };
            let mut known = false;
            self.prefixes(&text[start..], |length, id| {
                known |= length == character.len_utf8();
                offer(length, id, self.scores[id as usize]);
            });
            if !known {
                offer(character.len_utf8(), self.unknown.unwrap_or(NO_ID), self.unknown_score);
                // The crate gives up where it would take it, whether or not the best way leads there in the end.
                if best[start + character.len_utf8()].id == NO_ID {
                    return Err("the text holds a character that is in no piece, and there is no unk_id".into());
                }
            }
        }
        let mut parts: Vec<Range<usize>> = Vec::new();
        let (mut end, mut unknown_before) = (text.len(), false);
        while end > 0 {
            let step = best[end];
            if step.start as usize >= end {
                return Err("a text cannot be cut into pieces".into());
            }
            let (start, unknown) = (step.start as usize, Some(step.id) == self.unknown);
            match parts.last_mut() {
                Some(part) if unknown && unknown_before => part.start = start,
                _ => parts.push(start..end),
            }
            (end, unknown_before) = (start, unknown);
        }
        parts.reverse();
        Ok(parts)
    }

    fn tokens(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let mut tokens = Vec::new();
        for part in self.cut(text)? {
            let (piece, offsets) = (&text[part.clone()], (part.start, part.end));
            if let Some(id) = self.id(piece) {
                tokens.push(Token::new(id, piece.to_owned(), offsets));
                continue;
            }
            let bytes = piece.bytes().map(|byte| format!("<0x{byte:02X}>"));
            let bytes = bytes.map(|name| Some(Token::new(self.id(&name)?, name, offsets)));
            if let Some(bytes) = bytes.collect::<Option<Vec<Token>>>().filter(|_| self.byte_fallback) {
                tokens.extend(bytes);
            } else {
                let unknown = self.unknown.ok_or("there is no unk_id for a character that is in no piece")?;
                tokens.push(Token::new(unknown, piece.to_owned(), offsets));
            }
        }
        Ok(tokens)
    }
}

impl tokenizers::Model for Model {
    type Trainer = TrainerWrapper;

    fn tokenize(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        match self {
            Self::Unigram(model) => model.tokens(text),
            Self::Other(model) => model.tokenize(text),
        }
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            Self::Unigram(model) => model.id(token),
            Self::Other(model) => model.token_to_id(token),
        }
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        match self {
            Self::Unigram(model) => ((id as usize) < model.ends.len()).then(|| model.piece(id).to_owned()),
            Self::Other(model) => model.id_to_token(id),
        }
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        match self {
            Self::Unigram(model) => model.sorted.iter().map(|&id| (model.piece(id).to_owned(), id)).collect(),
            Self::Other(model) => model.get_vocab(),
        }
    }

    fn get_vocab_size(&self) -> usize {
        match self {
            Self::Unigram(model) => model.ends.len(),
            Self::Other(model) => model.get_vocab_size(),
        }
    }

    fn save(&self, _folder: &Path, _prefix: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("a tokenizer is only read here".into())
    }

    fn get_trainer(&self) -> TrainerWrapper {
        match self {
            Self::Unigram(_) => TrainerWrapper::UnigramTrainer(UnigramTrainer::default()),
            Self::Other(model) => model.get_trainer(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::Model as _;
    use tokenizers::models::unigram::Unigram as Original;

    use super::*;

    fn both(vocab: &[(String, f64)], unk_id: Option<usize>, byte_fallback: bool) -> (Model, Original) {
        let stored = Stored { vocab: vocab.to_vec(), unk_id, byte_fallback };
        let original = Original::from(vocab.to_vec(), unk_id, byte_fallback).unwrap();
        (Model::Unigram(stored.try_into().unwrap()), original)
    }

    proptest! {
        #[test]
        fn tokens_are_the_crates(
            pieces in prop::collection::vec(("[ab\u{e9}\u{4e2d}]{1,4}", -8i32..4), 1..40),
            text in "[abc\u{e9}\u{4e2d}\u{1f600}]{0,30}",
            unknown in any::<bool>(),
            bytes in any::<bool>(),
        ) {
            let mut vocab = vec![("<unk>".to_owned(), 0.0)];
            vocab.extend(pieces.into_iter().map(|(piece, score)| (piece, f64::from(score) / 2.0)));
            if bytes {
                vocab.extend((0..=255).map(|byte: u8| (format!("<0x{byte:02X}>"), 0.0)));
            }
            let (ours, original) = both(&vocab, unknown.then_some(0), bytes);
            match (ours.tokenize(&text), original.tokenize(&text)) {
                (Ok(ours), Ok(original)) => prop_assert_eq!(ours, original),
                (ours, original) => prop_assert_eq!(ours.is_err(), original.is_err(), "{:?} {:?}", ours, original),
            }
            for (id, (piece, _)) in vocab.iter().enumerate() {
                prop_assert_eq!(ours.token_to_id(piece), original.token_to_id(piece));
                prop_assert_eq!(ours.id_to_token(id as u32), original.id_to_token(id as u32));
            }
            prop_assert_eq!(ours.token_to_id(&text), original.token_to_id(&text));
            prop_assert_eq!(ours.get_vocab_size(), original.get_vocab_size());
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        for (text, named) in [
            (r#"{"vocab": [["a", 0]], "unk_id": 1}"#, "unk_id is 1"),
            (r#"{"vocab": [], "unk_id": 0}"#, "unk_id is 0"),
            (r#"{"vocab": [["a"]]}"#, "length"),
            (r#"{"unk_id": 0}"#, "vocab"),
        ] {
            let error = serde_json::from_str::<Unigram>(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
