//! Days and months of the calendar, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::math::calendar;
use crate::policy::rules::Period;

const DAY: i64 = 86_400;

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() as i64
}

/// The first second of the period that a time is in, and the first after it; seconds since 1970.
pub(super) fn around(period: Period, seconds: i64) -> (i64, i64) {
    let day = seconds.div_euclid(DAY);
    let (first, next) = match period {
        Period::Day => (day, day + 1),
        Period::Month => {
            let (year, month, _) = calendar::date_of(day);
            let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            (calendar::days_until(year, month, 1), calendar::days_until(next.0, next.1, 1))
        }
    };
    (first * DAY, next * DAY)
}

/// A time in words: `2026-12-01T00:00:00Z`.
pub(super) fn shown(seconds: i64) -> String {
    let (year, month, day) = calendar::date_of(seconds.div_euclid(DAY));
    let rest = seconds.rem_euclid(DAY);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_and_months_end_where_the_calendar_says() {
        let of = |period, seconds| {
            let (first, next) = around(period, seconds);
            (shown(first), shown(next))
        };
        let pair = |first: &str, next: &str| (format!("{first}T00:00:00Z"), format!("{next}T00:00:00Z"));
        // 2026-11-27T16:40:00Z
        assert_eq!(of(Period::Day, 1_795_797_600), pair("2026-11-27", "2026-11-28"));
        assert_eq!(of(Period::Month, 1_795_797_600), pair("2026-11-01", "2026-12-01"));
        // The last second of a year, the first of the next, and a leap year's February.
        assert_eq!(of(Period::Month, 1_798_761_599), pair("2026-12-01", "2027-01-01"));
        assert_eq!(of(Period::Day, 1_798_761_600), pair("2027-01-01", "2027-01-02"));
        assert_eq!(of(Period::Month, 1_709_210_000), pair("2024-02-01", "2024-03-01"));
    }

    proptest! {
        #[test]
        fn periods_follow_each_other_without_a_gap(seconds in 0_i64..4_000_000_000) {
            for period in [Period::Day, Period::Month] {
                let (first, next) = around(period, seconds);
                prop_assert!(first <= seconds && seconds < next);
                prop_assert_eq!(around(period, next - 1), (first, next));
                prop_assert_eq!(around(period, next).0, next);
            }
        }
    }
}
