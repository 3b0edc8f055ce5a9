//! Who pays for a call: asked before every request that is sent, told at the end what all of them came to.
//!
//! The engine knows no budgets. It promises that no request leaves without leave: retries, hedges, fallbacks, rungs above
//! and each of the `n` requests of one call ask again, and that [`Purse::settle`] is called once, however the call ends.

use std::fmt;

use futures_util::future::BoxFuture;
use rust_decimal::Decimal;

use super::account::Account;
use crate::error::Result;
use crate::providers::{ChatRequest, Endpoint};

/// What is about to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    /// Where to.
    pub endpoint: &'a Endpoint,
    /// The caller's request.
    pub request: &'a ChatRequest,
    /// How often, side by side: a model that gives one answer at a time is asked for each of `n`.
    pub times: u32,
    /// Each of these requests, and each that repeats one of them, asks for one of the answers that the caller wants.
    pub one: bool,
}

/// By which a purse finds again what it has set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pledge(pub usize);

/// An answer that may have to be waited for.
pub enum Leave<'a> {
    /// It is known at once, which is nearly always.
    Now(Result<Pledge>),
    /// Somebody else has to be asked.
    Later(BoxFuture<'a, Result<Pledge>>),
}

impl Leave<'_> {
    /// The answer, when it is there.
    ///
    /// # Errors
    /// Why the request may not be sent.
    pub async fn given(self) -> Result<Pledge> {
        match self {
            Self::Now(leave) => leave,
            Self::Later(leave) => leave.await,
        }
    }
}

/// A part of what a call came to: all that was asked of one endpoint may be several.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Who was asked.
    pub endpoint: &'a Endpoint,
    /// US dollars; `None` is unpriced.
    pub cost: Option<Decimal>,
}

/// Pays for the requests of one call.
pub trait Purse: fmt::Debug + Send + Sync {
    /// Sets aside what is sent now may cost. An error refuses it: it is not sent and not tried again.
    fn reserve<'a>(&'a self, sending: Sending<'a>) -> Leave<'a>;

    /// Of a request that failed in such a way that it is on nobody's bill: what was set aside for it is free again.
    fn free(&self, pledge: Pledge);

    /// What the whole call came to, and the parts of it, once; what was set aside and not spent is free again. A call
    /// without a known cost keeps what was set aside for it.
    fn settle(&self, account: &Account, parts: &[Part<'_>]);
}
