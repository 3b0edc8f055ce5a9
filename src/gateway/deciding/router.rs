//! Routers of the core, what they leave beside their word, and who decides where that is not done here.

use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use rust_decimal::Decimal;

use super::asked::Asked;
use super::decided::Decided;
use crate::error::Result;
use crate::routers::verdict::Verdict;
use crate::text::view::View;

/// A router's word.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// Win rate of the strong model.
    WinRate(f64),
    /// What names a rung, or leaves the choice to another router.
    Verdict(Box<Verdict>),
}

/// A word that may have to be waited for.
pub enum Said<'a> {
    /// It is known at once.
    Now(Result<Word>),
    /// An embedder or a model has to be asked, or it takes a processor for a while.
    Later(BoxFuture<'a, Result<Word>>),
}

/// Which router has failed, and with which Python class of error; carried by the error of a request that ends with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The router's name.
    pub router: String,
    /// The class of its exception.
    pub class: String,
}

/// A router of the core's own.
pub trait Router: Send + Sync {
    /// Its word on a request; notes and costs go into `remarks`, whether or not it fails.
    fn word<'a>(&'a self, view: &'a View, remarks: &'a Remarks) -> Said<'a>;

    /// Quantiles of its usual scores, which a share starts from.
    fn quantiles(&self) -> Vec<f64> {
        Vec::new()
    }
}

/// Where decisions are made that are not made here.
pub trait Elsewhere: Send + Sync {
    /// The whole decision.
    fn decide<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Result<Decided>>;
}

/// A threshold that a calibration has fixed for a share.
#[derive(Debug, Clone, PartialEq)]
pub struct Fixed {
    /// Strong from here on.
    pub threshold: f64,
    /// On so many prompts.
    pub n: u64,
    /// What the caller should know of it.
    pub note: Option<String>,
}

/// A calibration of one router.
pub trait Table: Send + Sync {
    /// The threshold for a share between 0 and 1.
    fn fixed(&self, share: f64) -> Result<Fixed>;
}

/// Remarks on a decision, left by whatever runs beneath it: the prompt was cut, an embedding was paid for.
#[derive(Debug, Default)]
pub struct Remarks(Mutex<Left>);

#[derive(Debug, Default)]
struct Left {
    notes: Vec<String>,
    cost: Option<Decimal>,
    unpriced: bool,
}

impl Remarks {
    /// Leaves a note, once.
    pub fn note(&self, text: impl Into<String>) {
        let text = text.into();
        let mut left = self.lock();
        if !left.notes.contains(&text) {
            left.notes.push(text);
        }
    }

    /// Leaves a note before all others.
    pub(super) fn first(&self, text: String) {
        self.lock().notes.insert(0, text);
    }

    /// Leaves notes as they are.
    pub(super) fn extend(&self, notes: impl IntoIterator<Item = String>) {
        self.lock().notes.extend(notes);
    }

    /// Adds to what the decision costs: US dollars, or `None` where the price is unknown.
    pub fn charge(&self, dollars: Option<Decimal>) {
        let mut left = self.lock();
        match dollars.map(|dollars| left.cost.unwrap_or_default().checked_add(dollars)) {
            Some(Some(sum)) => left.cost = Some(sum),
            _ => left.unpriced = true,
        }
    }

    /// What was paid; the outer `None` where nothing was, the inner one where a price is unknown.
    #[expect(clippy::option_option, reason = "nothing and unknown are two things")]
    pub(super) fn paid(&self) -> Option<Option<Decimal>> {
        let left = self.lock();
        if left.unpriced { Some(None) } else { left.cost.map(Some) }
    }

    pub(super) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().notes)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Left> {
        // Every method leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The router `random`: a number drawn uniformly from [0, 1), whatever the prompt.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lot;

impl Lot {
    /// Such a number.
    pub fn drawn() -> f64 {
        // The system's generator is a call into it: its numbers are taken by the page.
        thread_local! {
            static POOL: std::cell::RefCell<(usize, [u8; 512])> = const { std::cell::RefCell::new((512, [0; 512])) };
        }
        let bits = POOL.with_borrow_mut(|(used, pool)| {
            if *used >= pool.len() {
                if getrandom::fill(pool).is_err() {
                    return 1 << 63;
                }
                *used = 0;
            }
            let mut eight = [0; 8];
            eight.copy_from_slice(&pool[*used..*used + 8]);
            *used += 8;
            u64::from_le_bytes(eight)
        });
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Router for Lot {
    fn word<'a>(&'a self, _view: &'a View, _remarks: &'a Remarks) -> Said<'a> {
        Said::Now(Ok(Word::WinRate(Self::drawn())))
    }
}
