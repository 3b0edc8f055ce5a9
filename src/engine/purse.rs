//! Who pays for a call: asked before every request that is sent, told at the end what all of them came to.
//!
//! The engine knows no budgets. It promises that no request leaves without leave: retries, hedges, fallbacks, rungs above
//! and each of the `n` requests of one call ask again, and that [`Purse::settle`] is called once, however the call ends.

use std::fmt;

use futures_util::future::BoxFuture;

use super::plan::Account;
use crate::error::Result;
use crate::providers::{ChatRequest, Endpoint};

/// An answer that may have to be waited for.
pub enum Leave<'a> {
    /// It is known at once, which is nearly always.
    Now(Result<()>),
    /// Somebody else has to be asked.
    Later(BoxFuture<'a, Result<()>>),
}

/// Pays for the requests of one call.
pub trait Purse: fmt::Debug + Send + Sync {
    /// Sets aside what `request` may cost at `endpoint`. An error refuses it: it is not sent and not tried again.
    fn reserve<'a>(&'a self, endpoint: &'a Endpoint, request: &'a ChatRequest) -> Leave<'a>;

    /// What the whole call came to, once; what was set aside and not spent is free again. A call without a known cost
    /// keeps what was set aside for it.
    fn settle(&self, account: &Account);
}
