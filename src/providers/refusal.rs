//! What an error answer says beyond its status: the error object, and the wait it asks for.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::halves;
use crate::error::Answer;
use crate::math::calendar;

/// The value of a header, by its name in lower case.
pub(super) fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
}

/// The error object of a body, also as the one element of a list, which is how Gemini tells it to a stream.
pub(super) fn told(body: &[u8]) -> Option<Value> {
    let body = halves::mended(body).map_or(Cow::Borrowed(body), |mended| mended.to_vec().into());
    let mut json: Value = serde_json::from_slice(&body).ok()?;
    if let Some(first) = json.as_array_mut().and_then(|list| (!list.is_empty()).then(|| list.swap_remove(0))) {
        json = first;
    }
    match json.get_mut("error") {
        Some(error) if !error.is_null() => Some(error.take()),
        _ => Some(json),
    }
}

/// The details of an error of Google's.
pub(super) fn details(error: &Value) -> impl Iterator<Item = &Value> {
    error.get("details").and_then(Value::as_array).into_iter().flatten()
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

/// The wait Google names, `21s` or `0.5s`, in a detail of its error.
fn retry_delay(answer: &Answer) -> Option<f64> {
    if !answer.body.windows(10).any(|part| part == b"retryDelay") {
        return None;
    }
    let error = told(&answer.body)?;
    details(&error).find_map(|detail| detail.get("retryDelay")?.as_str()?.trim().strip_suffix('s')?.parse().ok())
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
    let days = calendar::days_until(year, month, day);
    let at = ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(at).ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::too_many;
    use super::*;

    #[test]
    fn the_asked_wait() {
        let now = UNIX_EPOCH + Duration::from_secs(1_445_412_470);
        let wait = |headers: &[(&str, &str)]| asked_wait(&too_many(headers), now);
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

    proptest! {
        #[test]
        fn dates_never_panic(text in "\\PC{0,40}") {
            let _ = http_date(&text);
        }
    }
}
