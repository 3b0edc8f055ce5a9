//! Points in time, in UTC: prices have a first day, and some of them hours.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::math::calendar;

const DAY: i64 = 86_400;

/// A second, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// Seconds since 1970.
    seconds: i64,
}

impl Moment {
    /// The present.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_seconds(since.as_secs() as i64)
    }

    /// So many seconds after 1970 began, in UTC.
    pub fn from_seconds(seconds: i64) -> Self {
        Self { seconds }
    }

    /// Days since 1970-01-01.
    pub(super) fn day(self) -> i64 {
        self.seconds.div_euclid(DAY)
    }

    /// Seconds since midnight.
    pub(super) fn second_of_day(self) -> u32 {
        self.seconds.rem_euclid(DAY) as u32
    }
}

/// `YYYY-MM-DD`, which is the day's first second, or `YYYY-MM-DDThh:mm[:ss[.f]]` with `Z`, an offset, or in UTC.
impl FromStr for Moment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text.trim()).ok_or_else(|| {
            Error::value(format!("expected a date as YYYY-MM-DD or a time as YYYY-MM-DDThh:mm:ssZ, found `{text}`"))
        })
    }
}

/// The day.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = calendar::date_of(self.day());
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

fn parse(text: &str) -> Option<Moment> {
    let (date, rest) = text.split_at_checked(10)?;
    let days = day_of(date)?;
    if rest.is_empty() {
        return Some(Moment::from_seconds(days * DAY));
    }
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (time.get(..at)?, offset_of(time.get(at..)?)?),
        None => (time, 0),
    };
    Some(Moment::from_seconds(days * DAY + clock_of(clock)? - offset))
}

fn offset_of(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    Some(sign * clock_of(text.get(1..)?)?)
}

/// `hh:mm[:ss[.f]]`, in seconds; the fraction is dropped.
fn clock_of(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hour = number(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = number(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let second = match parts.next() {
        None => 0,
        Some(second) => {
            let (whole, fraction) = second.split_once('.').unwrap_or((second, "0"));
            if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            number(whole, 2).filter(|second| *second < 60)?
        }
    };
    if parts.next().is_some() {
        return None;
    }
    Some(hour * 3600 + minute * 60 + second)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days since 1970-01-01 of `YYYY-MM-DD`, where there is such a day.
pub(super) fn day_of(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || year == 0 {
        return None;
    }
    let days = calendar::days_until(year, month, day);
    (calendar::date_of(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_read_to_the_second() {
        let seconds = |text: &str| text.parse::<Moment>().unwrap().seconds;
        assert_eq!(seconds("1970-01-01"), 0);
        assert_eq!(seconds("2026-01-12"), 1_768_176_000);
        assert_eq!(seconds("2024-02-29T23:59:59Z"), 1_709_251_199);
        assert_eq!(seconds("2026-01-12T02:30"), seconds("2026-01-12") + 9000);
        assert_eq!(seconds("2026-01-12 02:30:01.999+02:30"), seconds("2026-01-12T00:00:01Z"));
        assert_eq!(seconds("2026-01-12T22:00:00-03:00"), seconds("2026-01-13T01:00:00"));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2026",
            "2026-1-12",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-32",
            "12 January",
            "2026-01-12T",
            "2026-01-12T25:00",
            "2026-01-12T10",
            "2026-01-12T10:00:00.",
            "2026-01-12T10:00+1",
            "2026-01-1é",
            "0000-01-01",
        ] {
            let error = text.parse::<Moment>().unwrap_err();
            assert!(error.message().contains("expected a date as YYYY-MM-DD"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn days_and_dates_agree(day in -719_162i64..2_932_896) {
            let text = Moment::from_seconds(day * DAY + 5).to_string();
            prop_assert_eq!(day_of(&text), Some(day), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}") {
            let _ = text.parse::<Moment>();
        }
    }
}
