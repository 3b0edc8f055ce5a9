//! The book of calls: one record each, written behind the caller's back, summed when somebody asks.

mod record;

pub use record::{Outcome, Record};

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind, Result};

/// A book of calls. Usable from any thread, and by the child after a fork.
#[derive(Debug)]
pub struct Ledger {}

/// What is known of a model's own answers, to forecast what it would have made of a prompt another model answered.
#[derive(Debug, Clone, Default)]
pub struct Habits {
    /// Quantiles of its completion tokens, from the least (0) to the most (1), evenly spaced; empty below 20 answers.
    pub completion_quantiles: Vec<f64>,
    /// The mean cached share of its prompts.
    pub cached_share: Option<f64>,
    /// Answers seen.
    pub answers: u64,
}

impl Ledger {
    /// Opens `memory:`, `sqlite:///path` or `postgresql://...`, and makes its tables where they are missing.
    ///
    /// # Errors
    /// [`Kind::Value`] for another form of URL; [`Kind::Io`] when the store cannot be opened.
    pub fn open(url: &str) -> Result<Arc<Self>> {
        let scheme = url.split(':').next().unwrap_or_default();
        Err(Error::new(Kind::Unsupported, format!("no ledger of the kind `{scheme}` in this version")))
    }

    /// Enters a call. Never waits for the store.
    pub fn add(&self, _record: Record) {}

    /// Waits until everything entered so far is in the store.
    ///
    /// # Errors
    /// [`Kind::Timeout`] when that takes longer than `limit`; [`Kind::Io`] when the store refuses.
    pub fn flush(&self, _limit: Duration) -> Result<()> {
        Ok(())
    }

    /// What is known of a model's answers, from this process and from the store when it was opened.
    pub fn habits(&self, _model: &str) -> Option<Arc<Habits>> {
        None
    }
}
