//! Days and dates of the Gregorian calendar. Years are counted from March, so that a leap day comes last.

/// Days from 1970-01-01 to a date from the year 1 on.
pub(crate) fn days_until(year: i64, month: i64, day: i64) -> i64 {
    let years = if month > 2 { year } else { year - 1 };
    let months = (month + 9) % 12;
    let leap_days = years / 4 - years / 100 + years / 400;
    years * 365 + leap_days + (months * 153 + 2) / 5 + day - 1 - 719_468
}

/// Year, month and day, so many days after 1970-01-01.
pub(crate) fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * of_year + 2) / 153;
    let day = of_year - (153 * months + 2) / 5 + 1;
    let month = if months < 10 { months + 3 } else { months - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_days() {
        for (date, days) in
            [((1970, 1, 1), 0), ((2000, 2, 29), 11_016), ((2000, 3, 1), 11_017), ((2026, 1, 12), 20_465)]
        {
            assert_eq!(days_until(date.0, date.1, date.2), days, "{date:?}");
            assert_eq!(date_of(days), date);
        }
    }

    proptest! {
        #[test]
        fn days_and_dates_agree(days in -719_162i64..2_932_896) {
            let (year, month, day) = date_of(days);
            prop_assert!((1..=12).contains(&month) && (1..=31).contains(&day));
            prop_assert_eq!(days_until(year, month, day), days);
        }
    }
}
