//! Trying again: how often, and how long to wait in between.
//!
//! Which failures are worth it is [`failures::verdict`](super::failures::verdict), a list of yeses. Waits are those of
//! the `openai` client: half a second, doubled each time up to eight, up to a quarter less at random; a provider's own
//! `retry-after-ms`, `retry-after` or Google's `retryDelay` goes before that. Nothing here ever repeats a request whose
//! answer has begun to arrive at the caller: only opening a stream is wrapped, never reading it.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::failures::{Verdict, header, retry_delay, verdict};
use crate::error::{Answer, Error, Result};

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

/// The wait a provider asks for: `retry-after-ms`, else `retry-after` in seconds or as a date, else the `retryDelay` of
/// Google's errors. No time at all, a negative one or a date in the past asks for nothing.
pub(super) fn asked_wait(answer: &Answer, now: SystemTime) -> Option<Duration> {
    let header = |name: &str| header(answer, name);
    let seconds = |value: f64| Duration::try_from_secs_f64(value).ok().filter(|wait| !wait.is_zero());
    if let Some(wait) =
        header("retry-after-ms").and_then(|value| value.parse::<f64>().ok()).and_then(|ms| seconds(ms / 1e3))
    {
        return Some(wait);
    }
    let asked = header("retry-after").and_then(|value| match value.parse::<f64>() {
        Ok(wait) => seconds(wait),
        Err(_) => http_date(value)?.duration_since(now).ok().filter(|wait| !wait.is_zero()),
    });
    asked.or_else(|| retry_delay(answer).and_then(seconds))
}

/// `Wed, 21 Oct 2015 07:28:00 GMT`, the one form HTTP still allows to be sent.
fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_ascii_whitespace().skip(1);
    let day: i64 = parts.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as i64 + 1;
    let year: i64 = parts.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let mut clock =
        parts.next()?.split(':').map(|part| part.parse::<i64>().ok().filter(|part| (0..=60).contains(part)));
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    // Days from the civil date, with years that begin in March so that the leap day comes last.
    let shifted = if month > 2 { year } else { year - 1 };
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + in_year - 719_468;
    let at = ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(at).ok()?))
}

/// A number in `0..1`; a fresh `RandomState` is random enough to spread retries.
fn random_share() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / 2_f64.powi(64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::Kind;
    use crate::error::Again;

    fn answer(headers: &[(&str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status: 429, headers, body: Bytes::new() }
    }

    #[test]
    fn the_asked_wait() {
        let now = UNIX_EPOCH + Duration::from_secs(1_445_412_470);
        let wait = |headers: &[(&str, &str)]| asked_wait(&answer(headers), now);
        assert_eq!(wait(&[("retry-after", "3")]), Some(Duration::from_secs(3)));
        assert_eq!(wait(&[("retry-after", "0.25"), ("retry-after-ms", "40")]), Some(Duration::from_millis(40)));
        assert_eq!(wait(&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]), Some(Duration::from_secs(10)));
        assert_eq!(wait(&[("retry-after", "2"), ("retry-after-ms", "0")]), Some(Duration::from_secs(2)));
        for nothing in ["0", "-0", "-5", "nan", "Tue, 29 Feb 2000 00:00:00 GMT", "Wed, 21 Oct 2015 07:27:50 GMT"] {
            assert_eq!(wait(&[("retry-after", nothing)]), None, "{nothing}");
        }
        for nonsense in ["", "soon", "NaNs", "Wed, 99 Oct 2015 07:28:00 GMT", "Wed, 21 Okt 2015 07:28:00 GMT"] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(UNIX_EPOCH));
    }

    #[test]
    fn too_long_a_wait_is_not_waited() {
        let wait = |error: &Error| Tries::new(2).wait_after(error);
        assert_eq!(wait(&Error::status("", answer(&[("retry-after", "3600")]))), None);
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

        #[test]
        fn dates_never_panic(text in "\\PC{0,40}") {
            let _ = http_date(&text);
        }
    }
}
