//! Tries of one request at one endpoint, and the waits between them.

use std::time::Duration;

use tokio::time::Instant;

use super::ask::{Ask, Place};
use super::{health, hedge};
use crate::error::{Kind, Result};
use crate::providers::failures::{Verdict, blames_endpoint, verdict};
use crate::providers::retry::Tries;

/// With another endpoint at hand, nobody waits longer than this for one that asks for it.
const PATIENCE: Duration = Duration::from_secs(8);

/// Sends a request until it is answered, fails for good, or has been repeated as often as the policy allows.
pub(super) async fn tries<A: Ask>(asker: &A, place: &Place<'_>) -> Result<A::Done> {
    let policy = &place.plan.policy;
    let endpoint = place.endpoint();
    let mut tries = Tries::new(policy.retries);
    let mut before = None;
    loop {
        let error = match hedge::ask(asker, place).await {
            Ok(done) => {
                health::succeeded(endpoint);
                return Ok(done);
            }
            // That it may not be tried again says less than why it had to be.
            Err(error) if error.kind() == Kind::Denied => return Err(before.unwrap_or(error)),
            Err(error) => error,
        };
        let now = Instant::now();
        if place.deadline.is_some_and(|deadline| now >= deadline) && error.kind() == Kind::Timeout {
            let limit = policy.deadline.unwrap_or_default().as_secs_f64();
            let said = format!("no answer from {} within the deadline of {limit} s", endpoint.host());
            return Err(error.map_message(|_| said).settled());
        }
        let rests = blames_endpoint(&error) && health::failed(endpoint, policy);
        if let Verdict::Again(Some(asked)) = verdict(&error)
            && place.others
            && asked > PATIENCE
        {
            // It asks to be left alone for longer than anybody waits who can ask another.
            health::rest(endpoint, asked);
        }
        let Some(wait) = tries.wait_after(&error) else { return Err(error) };
        // Nobody sleeps past the deadline, and with another endpoint at hand nobody waits for one that is ill.
        if place.deadline.is_some_and(|deadline| now + wait >= deadline) || place.others && (rests || wait > PATIENCE) {
            return Err(error);
        }
        before = Some(error);
        tokio::time::sleep(wait).await;
    }
}
