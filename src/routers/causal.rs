//! A language model as a classifier: it continues a prompt with one of the label tokens `[[1]]` to `[[5]]`.
//!
//! The prompt begins with the same words every time, so their keys and values are computed once. How far the common
//! part goes is found by comparing ids, for each prompt: a tokenizer may join the last characters of the one text with
//! the first of the other.

mod prompt;
mod template;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use prompt::{CLASSIFIER, Format, Prompt, SYSTEM};
pub use template::{Template, strip, universal_newlines};

use crate::error::{Error, Kind, Result};
use crate::neural::crew::Crew;
use crate::neural::decoder::{Decoder, Run, Sequence, largest};
use crate::neural::linear::Precision;
use crate::text::tokenizer::Tokenizer;

/// New tokens of a group of prompts that go through the model together.
const GROUP_TOKENS: usize = 512;

/// Prompts in a group: bounds the logits, which have a number for each token of the vocabulary.
const GROUP: usize = 32;

/// Texts whose ids are held at a time.
const HELD: usize = 256;

/// Questions that begin in ways a tokenizer may join with what stands before them.
const PROBES: [&str; 8] = ["a", "The", "1", "\n\n", " ", "(", "é", "“"];

/// What a router is made with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Texts of the label tokens, appended to the vocabulary.
    pub labels: Vec<String>,
    /// How activations enter the products.
    pub precision: Precision,
    /// Tokens generated at most.
    pub max_new_tokens: usize,
    /// Threads; `None`: one for each processor.
    pub threads: Option<usize>,
}

/// A checkpoint with the tokenizer of its base model.
#[derive(Debug)]
pub struct CausalModel {
    decoder: Decoder,
    tokenizer: Arc<Tokenizer>,
    options: Options,
    /// First id that counts as a label.
    first_label: usize,
    shared: RwLock<Arc<Shared>>,
}

/// Ids that prompts are known to begin with, and their keys and values once somebody has computed them.
#[derive(Debug, Default)]
struct Shared {
    ids: Vec<u32>,
    sequence: Mutex<Option<Arc<Sequence>>>,
}

/// What the model answered to one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Generated ids, up to the label.
    pub ids: Vec<u32>,
    /// Logits from the first label to the end of the vocabulary, at the position that gave the label.
    pub logits: Option<Vec<f32>>,
}

impl Answer {
    /// The strong model's win rate: 1 without a label, else one minus the probability of the labels `threshold` and
    /// above.
    pub fn win_rate(&self, threshold: usize) -> f64 {
        self.logits.as_deref().map_or(1.0, |logits| 1.0 - f64::from(probability(logits, threshold).0))
    }
}

/// The probability of the labels `threshold` and above, and that of every label, by a softmax over the labels alone.
pub fn probability(logits: &[f32], threshold: usize) -> (f32, Vec<f32>) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut softmax: Vec<f32> = logits.iter().map(|logit| (logit - max).exp()).collect();
    let sum: f32 = softmax.iter().sum();
    for p in &mut softmax {
        *p /= sum;
    }
    (softmax.iter().skip(threshold.saturating_sub(1)).sum(), softmax)
}

impl CausalModel {
    /// Opens the weights of `checkpoint` and the tokenizer `tokenizer` (a folder), which gets the label tokens.
    ///
    /// With `own`, the tokenizer is the checkpoint's and must have the labels as its last tokens.
    ///
    /// # Errors
    /// Those of [`Decoder::open`] and [`Tokenizer::open`]; `Kind::Checkpoint` when the two do not fit each other.
    pub fn open(checkpoint: &Path, tokenizer: &Path, own: bool, options: Options) -> Result<Self> {
        let wrong = |what: String| Error::new(Kind::Checkpoint, format!("{}: {what}", tokenizer.display()));
        let labels: Vec<&str> = options.labels.iter().map(String::as_str).collect();
        let path = tokenizer;
        let mut tokenizer = Tokenizer::open(path)?;
        let grown = tokenizer.add_special_tokens(&labels)?;
        let Some(first_label) = tokenizer.len().checked_sub(labels.len()) else {
            return Err(wrong(format!("{} tokens, fewer than labels", tokenizer.len())));
        };
        if own {
            let place = |(index, label): (usize, &&str)| {
                tokenizer.token_to_id(label).is_some_and(|id| id as usize == first_label + index)
            };
            if grown > 0 || !labels.iter().enumerate().all(place) {
                return Err(wrong(format!("expected {} as the last tokens of this tokenizer", labels.join(" "))));
            }
        }
        let decoder = Decoder::open(checkpoint)?;
        let (outputs, tokens) = (decoder.config().vocabulary, tokenizer.len());
        if outputs < tokens {
            let message = format!("the model has {outputs} outputs, the tokenizer {tokens} tokens with the labels");
            return Err(wrong(format!("{message}: not the tokenizer of its base model?")));
        }
        let (tokenizer, shared) = (Arc::new(tokenizer), RwLock::default());
        Ok(Self { decoder, tokenizer, options, first_label, shared })
    }

    /// From now on, computes what all prompts of this form begin with only once.
    ///
    /// # Errors
    /// `Kind::Value` when that alone is longer than the model can take.
    pub fn share(&self, prompt: &Prompt) -> Result<()> {
        let probes = PROBES.iter().map(|question| self.tokenizer.encode(&prompt.render(question)));
        let probes = probes.collect::<Result<Vec<_>>>()?;
        let common = probes.iter().map(|ids| common(&probes[0], ids)).min().unwrap_or(0);
        let ids = probes[0][..common].to_vec();
        self.decoder.check_length(ids.len() + self.options.max_new_tokens)?;
        *self.shared.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Shared { ids, ..Shared::default() });
        Ok(())
    }

    /// Never waited for: a process forked from a thread that holds the lock could wait for ever.
    fn shared(&self) -> Arc<Shared> {
        self.shared.try_read().map(|shared| Arc::clone(&shared)).unwrap_or_default()
    }

    /// The tokenizer, with the label tokens.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// The decoder.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// First id that counts as a label; every id from here to the end of the vocabulary does.
    pub fn first_label(&self) -> usize {
        self.first_label
    }

    /// Tokens that every prompt begins with, computed once.
    pub fn shared_tokens(&self) -> usize {
        self.shared().ids.len()
    }

    /// What the model answers to each text, put into the prompt; `advanced` as in [`Self::answer`].
    pub fn answer_texts(
        &self,
        prompt: &Prompt,
        texts: &[impl AsRef<str>],
        mut advanced: impl FnMut(usize) -> Result<()>,
    ) -> Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(texts.len());
        for texts in texts.chunks(HELD) {
            let mut ids = Vec::with_capacity(texts.len());
            for text in texts {
                ids.push(self.tokenizer.encode(&prompt.render(text.as_ref()))?);
                advanced(0)?;
            }
            answers.extend(self.answer(&ids, &mut advanced)?);
        }
        Ok(answers)
    }

    /// What the model answers to each prompt.
    ///
    /// `advanced` is called with the number newly done, which is 0 after each layer; its error ends the work.
    pub fn answer(&self, prompts: &[Vec<u32>], mut advanced: impl FnMut(usize) -> Result<()>) -> Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(prompts.len());
        for ids in prompts {
            self.decoder.check_length(ids.len() + self.options.max_new_tokens)?;
        }
        let (mut rest, shared) = (prompts, self.shared());
        while !rest.is_empty() {
            let mut tokens = 0;
            let fits = rest.iter().take(GROUP).take_while(|ids| {
                tokens += ids.len().saturating_sub(shared.ids.len());
                tokens <= GROUP_TOKENS
            });
            let (group, after) = rest.split_at(fits.count().max(1));
            let go_on = &mut || advanced(0);
            answers.extend(Crew::with(self.options.threads, |crew| self.group(crew, &shared, group, go_on))?);
            advanced(group.len())?;
            rest = after;
        }
        Ok(answers)
    }

    /// All logits of the first generated position; `advanced` as in [`Self::answer`].
    pub fn first_logits(&self, ids: &[u32], mut advanced: impl FnMut(usize) -> Result<()>) -> Result<Vec<f32>> {
        let go_on: &mut dyn FnMut() -> Result<()> = &mut || advanced(0);
        Crew::with(self.options.threads, |crew| {
            let (mut sequence, prefix, skipped) = self.begin(crew, &self.shared(), ids, go_on)?;
            let run = Run { ids: &ids[skipped..], prefix: prefix.as_deref(), sequence: &mut sequence };
            self.decoder.extend(crew, self.options.precision, &mut [run], go_on)
        })
    }

    /// A group of prompts, together.
    fn group(
        &self,
        crew: &Crew,
        shared: &Shared,
        prompts: &[Vec<u32>],
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Answer>> {
        struct State {
            sequence: Sequence,
            prefix: Option<Arc<Sequence>>,
            next: Vec<u32>,
            answer: Answer,
            over: bool,
        }
        let vocabulary = self.decoder.config().vocabulary;
        let mut states = Vec::with_capacity(prompts.len());
        for ids in prompts {
            let (sequence, prefix, skipped) = self.begin(crew, shared, ids, go_on)?;
            let answer = Answer { ids: Vec::new(), logits: None };
            states.push(State { sequence, prefix, next: ids[skipped..].to_vec(), answer, over: false });
        }
        for _ in 0..self.options.max_new_tokens {
            let mut open: Vec<&mut State> = states.iter_mut().filter(|state| !state.over).collect();
            if open.is_empty() {
                break;
            }
            let mut runs: Vec<Run> = open
                .iter_mut()
                .map(|state| Run { ids: &state.next, prefix: state.prefix.as_deref(), sequence: &mut state.sequence })
                .collect();
            let logits = self.decoder.extend(crew, self.options.precision, &mut runs, go_on)?;
            for (state, logits) in open.into_iter().zip(logits.chunks(vocabulary)) {
                let id = largest(logits)?;
                state.answer.ids.push(id as u32);
                state.next = vec![id as u32];
                if id >= self.first_label && state.answer.logits.is_none() {
                    state.answer.logits = Some(logits[self.first_label..].to_vec());
                    // What follows a label is never looked at; a padding row is none, and the text goes on.
                    state.over = id < self.tokenizer.len();
                }
                state.over |= self.decoder.config().end_of_text.contains(&(id as u32));
            }
        }
        Ok(states.into_iter().map(|state| state.answer).collect())
    }

    /// A sequence to continue, the prefix it has, and how many ids of the prompt both cover: never all of them.
    fn begin(
        &self,
        crew: &Crew,
        shared: &Shared,
        ids: &[u32],
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<(Sequence, Option<Arc<Sequence>>, usize)> {
        let covered = common(&shared.ids, ids).min(ids.len().saturating_sub(1));
        if covered == 0 {
            return Ok((self.decoder.start(), None, 0));
        }
        let prefix = self.prefix(crew, shared, go_on)?;
        if covered == shared.ids.len() {
            return Ok((self.decoder.start(), Some(prefix), covered));
        }
        let mut sequence = (*prefix).clone();
        sequence.truncate(covered);
        Ok((sequence, None, covered))
    }

    /// Keys and values of the shared ids.
    fn prefix(&self, crew: &Crew, shared: &Shared, go_on: &mut dyn FnMut() -> Result<()>) -> Result<Arc<Sequence>> {
        if let Some(sequence) = shared.sequence.try_lock().ok().and_then(|sequence| sequence.clone()) {
            return Ok(sequence);
        }
        let mut sequence = self.decoder.start();
        self.decoder.remember(crew, self.options.precision, &shared.ids, &mut sequence, go_on)?;
        let sequence = Arc::new(sequence);
        if let Ok(mut kept) = shared.sequence.try_lock() {
            *kept = Some(Arc::clone(&sequence));
        }
        Ok(sequence)
    }
}

/// Length of the longest common beginning.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
