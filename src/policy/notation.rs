//! How limits are written: `5/day`, `100/minute`, `20%`. In configurations, on command lines and in answers alike.

use std::time::Duration;

use rust_decimal::Decimal;

use super::rules::{Budget, Period, Rate};

/// What a budget looks like, as a regular expression.
pub const BUDGET: &str = r"^\$?(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?[ \t]*/[ \t]*(day|month)$";
/// What a rate looks like.
pub const RATE: &str = r"^[1-9][0-9]{0,11}[ \t]*/[ \t]*(second|minute|hour|day)$";
/// What a share looks like, where it is no number from 0 to 1.
pub const PERCENT: &str = r"^(100(\.0{1,6})?|[0-9]{1,2}(\.[0-9]{1,6})?)[ \t]*%$";
/// What a budget is, in words.
pub const BUDGET_WORDS: &str = "US dollars and a period, such as 5/day or 100/month";
/// What a rate is, in words.
pub const RATE_WORDS: &str = "a number and a span, such as 100/minute (second, minute, hour or day)";
/// What a share is, in words.
pub const PERCENT_WORDS: &str = "a share, such as 20% or 0.2";

/// `5/day`, `0.50/month`, `$100/month`: US dollars a period. `None` for anything else, [`BUDGET_WORDS`] being expected.
pub fn budget(text: &str) -> Option<Budget> {
    let (limit, period) = parts(text)?;
    let limit = limit.strip_prefix('$').unwrap_or(limit);
    let (whole, fraction) = limit.split_once('.').unwrap_or((limit, "0"));
    let plain = digits(whole, 12) && digits(fraction, 9) && (whole == "0" || !whole.starts_with('0'));
    let period = match period {
        "day" => Period::Day,
        "month" => Period::Month,
        _ => return None,
    };
    let limit = if plain { limit.parse::<Decimal>().ok()? } else { return None };
    Some(Budget { limit: limit.normalize(), period })
}

/// `100/minute`: so many a second, minute, hour or day. `None` for anything else, [`RATE_WORDS`] being expected.
pub fn rate(text: &str) -> Option<Rate> {
    let (count, span) = parts(text)?;
    let seconds = match span {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        _ => return None,
    };
    let plain = digits(count, 12) && !count.starts_with('0');
    let count = if plain { count.parse().ok()? } else { return None };
    Some(Rate { count, per: Duration::from_secs(seconds) })
}

/// `20%` as 0.2. `None` for anything else, [`PERCENT_WORDS`] being expected; a plain number is the caller's to read.
pub fn percent(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?.trim_end_matches([' ', '\t']);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if !(digits(whole, 3) && digits(fraction, 6)) {
        return None;
    }
    let share = number.parse::<f64>().ok()? / 100.0;
    (share <= 1.0 && (whole.len() < 3 || share == 1.0)).then_some(share)
}

/// A budget as it is written.
pub fn budget_text(budget: &Budget) -> String {
    let period = match budget.period {
        Period::Day => "day",
        Period::Month => "month",
    };
    format!("{}/{period}", budget.limit.normalize())
}

/// A rate as it is written.
pub fn rate_text(rate: &Rate) -> String {
    let span = match rate.per.as_secs() {
        1 => "second",
        60 => "minute",
        3_600 => "hour",
        86_400 => "day",
        _ => return format!("{} in {} s", rate.count, rate.per.as_secs_f64()),
    };
    format!("{}/{span}", rate.count)
}

fn parts(text: &str) -> Option<(&str, &str)> {
    let (left, right) = text.split_once('/')?;
    let blank = |c: char| matches!(c, ' ' | '\t');
    Some((left.trim_end_matches(blank), right.trim_start_matches(blank)))
}

fn digits(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    #[test]
    fn limits_are_read_and_written() {
        let five = Budget { limit: Decimal::from(5), period: Period::Day };
        assert_eq!(budget("5/day"), Some(five));
        assert_eq!(budget("$5.00 / day"), Some(five));
        assert_eq!(budget("0.25/month").map(|found| budget_text(&found)).as_deref(), Some("0.25/month"));
        assert_eq!(rate("100/minute"), Some(Rate { count: 100, per: Duration::from_mins(1) }));
        assert_eq!(rate("7 /hour").map(|found| rate_text(&found)).as_deref(), Some("7/hour"));
        assert_eq!(percent("20%"), Some(0.2));
        assert_eq!(percent("100 %"), Some(1.0));
        assert_eq!(percent("12.5%"), Some(0.125));
    }

    #[test]
    fn what_is_something_else_is_none() {
        for text in
            ["5", "5/week", "-5/day", "5 per day", "05/day", "5,0/day", "5./day", "1e3/day", "/day", "5/day/day"]
        {
            assert_eq!(budget(text), None, "{text}");
        }
        for text in ["0/minute", "1.5/minute", "100/min", "100", "-1/hour", "１/hour"] {
            assert_eq!(rate(text), None, "{text}");
        }
        for text in ["20", "101%", "-1%", "0.2", "%", "100.5%", "nan%", "1e1%"] {
            assert_eq!(percent(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        // The published schema has the expressions, the reader these functions: they accept the same.
        #[test]
        fn the_expressions_say_the_same(text in r"\$?[0-9]{0,4}(\.[0-9]{0,3})?[ \t]?[/%]?[ ]?(day|month|minute|second|hour|week|)") {
            prop_assert_eq!(Regex::new(BUDGET).unwrap().is_match(&text), budget(&text).is_some(), "{}", text);
            prop_assert_eq!(Regex::new(RATE).unwrap().is_match(&text), rate(&text).is_some(), "{}", text);
            prop_assert_eq!(Regex::new(PERCENT).unwrap().is_match(&text), percent(&text).is_some(), "{}", text);
        }
    }
}
