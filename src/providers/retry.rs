//! Trying again: how often, and how long to wait in between.
//!
//! Which failures are worth it is [`failures::verdict`](super::failures::verdict), a list of yeses. Waits are those of
//! the `openai` client: half a second, doubled each time up to eight, up to a quarter less at random; a provider's own
//! `retry-after-ms`, `retry-after` or Google's `retryDelay` goes before that. Nothing here ever repeats a request whose
//! answer has begun to arrive at the caller: only opening a stream is wrapped, never reading it.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use super::failures::{Verdict, verdict};
use crate::error::{Error, Result};

const FIRST_WAIT: f64 = 0.5;
const LONGEST_WAIT: f64 = 8.0;
/// A provider that asks for more than this gets no second try: the caller should hear of it instead of waiting.
const LONGEST_ASKED_WAIT: Duration = Duration::from_mins(2);

/// Retries when the caller says nothing, as in the `openai` client.
pub const DEFAULT_RETRIES: u32 = 2;

/// Runs `attempt` until it succeeds, fails for good, or has been repeated `retries` times; returns how often it ran.
pub async fn with_retries<T, F>(retries: u32, mut attempt: impl FnMut() -> F) -> Result<(T, u32)>
where
    F: Future<Output = Result<T>>,
{
    let mut tries = Tries::new(retries);
    loop {
        match attempt().await {
            Ok(done) => return Ok((done, tries.made())),
            Err(error) => {
                let Some(wait) = tries.wait_after(&error) else { return Err(error) };
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// The tries of one request at one endpoint.
#[derive(Debug, Clone)]
pub struct Tries {
    retries: u32,
    failed: u32,
    /// The one more try of [`Verdict::Once`] has been had.
    once: bool,
}

impl Tries {
    /// None yet.
    pub fn new(retries: u32) -> Self {
        Self { retries, failed: 0, once: false }
    }

    /// Tries made, when the current one succeeds.
    pub fn made(&self) -> u32 {
        self.failed.saturating_add(1)
    }

    /// Counts a failed try; how long to wait before the next, `None` when there should be none.
    pub fn wait_after(&mut self, error: &Error) -> Option<Duration> {
        let verdict = verdict(error);
        self.failed = self.failed.saturating_add(1);
        if self.failed > self.retries {
            return None;
        }
        match verdict {
            Verdict::Again(Some(wait)) => (wait <= LONGEST_ASKED_WAIT).then_some(wait),
            Verdict::Again(None) => Some(self.backoff()),
            Verdict::Once if !self.once => {
                self.once = true;
                Some(self.backoff())
            }
            Verdict::Once | Verdict::Elsewhere | Verdict::Final => None,
        }
    }

    fn backoff(&self) -> Duration {
        Duration::from_secs_f64(backoff(self.failed, random_share()))
    }
}

/// Seconds before retry number `tries`; `share` in `0..1` is the random part.
fn backoff(tries: u32, share: f64) -> f64 {
    let grown = FIRST_WAIT * 2_f64.powi(tries.saturating_sub(1).min(16) as i32);
    grown.min(LONGEST_WAIT) * (1.0 - 0.25 * share)
}

/// A number in `0..1`; a fresh `RandomState` is random enough to spread retries.
fn random_share() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / 2_f64.powi(64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::too_many;
    use super::*;
    use crate::Kind;
    use crate::error::Again;

    #[test]
    fn too_long_a_wait_is_not_waited() {
        let wait = |error: &Error| Tries::new(2).wait_after(error);
        assert_eq!(wait(&Error::status("", too_many(&[("retry-after", "3600")]))), None);
        assert_eq!(wait(&Error::new(Kind::Protocol, "")), None);
        assert!(wait(&Error::new(Kind::Connection, "")).is_some());
        let mut tries = Tries::new(2);
        let odd = Error::new(Kind::Protocol, "").worth(Again::Once);
        assert!(tries.wait_after(&odd).is_some() && tries.wait_after(&odd).is_none());
        let mut tries = Tries::new(1);
        let broken = Error::new(Kind::Connection, "");
        assert!(tries.wait_after(&broken).is_some() && tries.wait_after(&broken).is_none());
    }

    proptest! {
        #[test]
        fn backoff_is_bounded(tries in 1..u32::MAX, share in 0.0..1.0_f64) {
            let wait = backoff(tries, share);
            prop_assert!((FIRST_WAIT * 0.75..=LONGEST_WAIT).contains(&wait));
        }
    }
}
