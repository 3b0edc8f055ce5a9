//! Who pays for a call: asked before every request that is sent, told at the end what all of them came to.
//!
//! The engine knows no budgets. It promises that no request leaves without leave: retries, hedges, fallbacks, rungs above
//! and each of the `n` requests of one call ask again, and that [`Purse::settle`] is called once, however the call ends.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rust_decimal::Decimal;

use super::account::Account;
use crate::error::{Error, Kind, Result};
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
    /// Whether the provider has said what was used; else the cost is a guess, and the bill may be anything that was set aside.
    pub told: bool,
}

/// Pays for the requests of one call.
pub trait Purse: fmt::Debug + Send + Sync {
    /// Sets aside what is sent now may cost. An error refuses it: it is not sent and not tried again.
    fn reserve<'a>(&'a self, sending: Sending<'a>) -> Leave<'a>;

    /// Of a request that failed in such a way that it is on nobody's bill: what was set aside for it is free again.
    fn free(&self, pledge: Pledge);

    /// Of a request that was sent and of which nobody will say what it came to: all that was set aside for it is spent.
    fn keep(&self, pledge: Pledge);

    /// What the call came to, by its parts, once: all requests but those that were [kept](Self::keep). What was set aside and
    /// not spent is free again; a call without a known cost, or with a part that was not told, keeps what was set aside for it.
    fn settle(&self, account: &Account, parts: &[Part<'_>]);
}

/// What was set aside for a request that is sent now. Given up before its end, it is kept: the provider may bill all of it.
pub(super) struct Pledged<'a> {
    purse: Option<&'a Arc<dyn Purse>>,
    pledge: Option<Pledge>,
    /// It pays for others as well, so that it is never free.
    shared: bool,
}

impl<'a> Pledged<'a> {
    pub(super) fn new(purse: Option<&'a Arc<dyn Purse>>, pledge: Option<Pledge>, shared: bool) -> Self {
        Self { purse, pledge, shared }
    }

    /// The request is over. What an answer comes to is told at the end of the call.
    pub(super) fn over(mut self, failed: Option<&Error>) {
        let (Some(purse), Some(pledge)) = (self.purse, self.pledge.take()) else { return };
        let Some(error) = failed else { return };
        if is_free(error) {
            if !self.shared {
                purse.free(pledge);
            }
        } else if !(error.is_lost() && told(error)) {
            purse.keep(pledge);
        }
    }
}

impl Drop for Pledged<'_> {
    fn drop(&mut self) {
        if let (Some(purse), Some(pledge)) = (self.purse, self.pledge.take()) {
            purse.keep(pledge);
        }
    }
}

/// Whether the provider has said what a failed request used.
fn told(error: &Error) -> bool {
    error.partial().is_some_and(|partial| !partial.estimated && partial.tokens.is_some())
}

/// Whether a request that failed is on nobody's bill: it was never sent, or the provider has refused it. A 500 is the
/// provider's own failure, which none bills; a 502 or 504 is said by something between, while he may be answering.
fn is_free(error: &Error) -> bool {
    if error.is_lost() {
        return false;
    }
    match error.answer() {
        Some(answer) => matches!(answer.status, 300..=501 | 503 | 529),
        None => error.kind() != Kind::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::providers::Answer;

    #[test]
    fn only_what_cannot_be_billed_is_free() {
        let status = |status| Error::status("no", Answer { status, headers: Vec::new(), body: Bytes::new() });
        for free in [400, 401, 429, 500, 503, 529] {
            assert!(is_free(&status(free)), "{free}");
        }
        for billed in [200, 502, 504, 524] {
            assert!(!is_free(&status(billed)), "{billed}");
        }
        assert!(is_free(&Error::new(Kind::Connection, "no connection")));
        assert!(!is_free(&Error::new(Kind::Connection, "it broke").lost()));
        assert!(!is_free(&Error::new(Kind::Protocol, "not JSON")));
    }
}
