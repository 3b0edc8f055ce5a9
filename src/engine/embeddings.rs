//! Embeddings that a caller asks for: his own request to one model, entered in the book like every call.
//!
//! No other model stands in for one that fails, since the vectors of two models have nothing to do with each other.

use std::sync::Arc;

use super::call::Answered;
use super::ending::Ending;
use super::plan::Plan;
use super::purse::{Pledged, Sending};
use super::settle::Entry;
use crate::error::{Error, Kind, Result};
use crate::providers::embeddings_asked::{prepared, read};
use crate::providers::retry::Tries;
use crate::providers::{ChatRequest, Http};

/// The embeddings of a request in `OpenAI`'s shape, by the plan's first endpoint.
///
/// # Errors
/// [`Kind::Value`] and its like for a request that cannot be made of it; else the last failure, with the address that was
/// called.
pub async fn embeddings(http: &Http, plan: Plan, request: Arc<ChatRequest>) -> Result<Answered> {
    let mut entry = Entry::begin(plan, request);
    match asked(http, &entry).await {
        Ok((answer, ending)) => {
            let account = entry.answered(&ending);
            Ok(Answered { answer, account })
        }
        Err(error) => {
            match error.kind() {
                Kind::Cancelled => entry.left(),
                _ => entry.failed(&error, &Ending::default()),
            };
            Err(error)
        }
    }
}

async fn asked(http: &Http, entry: &Entry) -> Result<(crate::providers::Answer, Ending)> {
    let plan = entry.plan();
    let endpoint = plan.endpoints.first().ok_or_else(|| Error::value("a call needs at least one endpoint"))?;
    let (outgoing, wanted) = prepared(endpoint, entry.request())?;
    let limits = plan.policy.limits();
    let mut tries = Tries::new(plan.policy.retries);
    loop {
        let pledge = match &plan.purse {
            Some(purse) => {
                let sending = Sending { endpoint, request: entry.request(), times: 1, one: false };
                Some(purse.reserve(sending).given().await?)
            }
            None => None,
        };
        let pledged = Pledged::new(plan.purse.as_ref(), pledge, false);
        let sent = entry.tally().sent(0);
        let answer = http.send(endpoint, &outgoing, &limits).await;
        let result = answer.and_then(|answer| read(endpoint, &wanted, answer));
        sent.over(result.as_ref().err());
        pledged.over(result.as_ref().err());
        let error = match result {
            Ok((answer, usage)) => {
                let usages = usage.into_iter().collect();
                return Ok((answer, Ending { requests: 1, usages, complete: true, ..Ending::default() }));
            }
            Err(error) => error.at(|| endpoint.shown_url(&endpoint.dialect.embeddings_path(endpoint))),
        };
        let Some(wait) = tries.wait_after(&error) else { return Err(error) };
        tokio::time::sleep(wait).await;
    }
}
