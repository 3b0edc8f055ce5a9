//! A second request when the first takes unusually long; the first answer wins.
//!
//! The loser is dropped, which closes its connection, and entered in the book as a call of its own.

use std::pin::pin;

use futures_util::future::{Either, select};
use tokio::time::{Instant, timeout};

use super::ask::{Ask, Place};
use super::latency;
use super::purse::Pledged;
use crate::error::{Error, Kind, Result};

/// Sends one request; with the policy's leave a second one when it is late.
pub(super) async fn ask<A: Ask>(asker: &A, place: &Place<'_>) -> Result<A::Done> {
    if place.prepared.times > 1 {
        return one(asker, place).await;
    }
    if place.plan.policy.hedge {
        return Box::pin(hedged(asker, place)).await;
    }
    let start = Instant::now();
    let result = one(asker, place).await;
    if result.is_ok() {
        latency::add(place.endpoint(), A::STREAM, start.elapsed());
    }
    result
}

async fn one<A: Ask>(asker: &A, place: &Place<'_>) -> Result<A::Done> {
    if place.is_over() {
        // What is never sent is on no bill.
        let said = format!("there was no time left to ask {}", place.endpoint().host());
        return Err(Error::new(Kind::Timeout, said).settled());
    }
    let shared = place.is_paid();
    let pledge = if shared { place.side.get().copied() } else { place.pay(1).await? };
    let pledged = Pledged::new(place.plan.purse.as_ref(), pledge, shared);
    let sent = place.tally.sent(place.index);
    let result = asker.ask(place).await;
    sent.over(result.as_ref().err());
    pledged.over(result.as_ref().err());
    result
}

async fn hedged<A: Ask>(asker: &A, place: &Place<'_>) -> Result<A::Done> {
    let endpoint = place.endpoint();
    let start = Instant::now();
    let mut first = pin!(one(asker, place));
    let late = latency::late_after(endpoint, A::STREAM);
    let result = match late {
        None => Ok(first.as_mut().await),
        Some(late) => timeout(late, first.as_mut()).await,
    };
    if let Ok(result) = result {
        if result.is_ok() {
            latency::add(endpoint, A::STREAM, start.elapsed());
        }
        return result;
    }
    let again = Instant::now();
    let second = pin!(one(asker, place));
    let lost = |since: Instant| place.tally.hedged(place.index, since.elapsed());
    // What the first would have taken is not known, only that it is more than this.
    let took = |since: Instant| latency::add(endpoint, A::STREAM, since.elapsed());
    match select(first, second).await {
        Either::Left((Ok(done), _)) => {
            lost(again);
            took(start);
            Ok(done)
        }
        Either::Right((Ok(done), _)) => {
            lost(start);
            took(start);
            took(again);
            Ok(done)
        }
        Either::Left((Err(error), second)) => second.await.map_err(|later| worse(error, later)),
        Either::Right((Err(error), first)) => first.await.map_err(|later| worse(error, later)),
    }
}

/// Of two failures the one that says whether to go on: the later one.
fn worse(_earlier: Error, later: Error) -> Error {
    later
}
