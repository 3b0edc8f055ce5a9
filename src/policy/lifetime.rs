//! How long a key lasts, as it is written: `90d`.

use std::time::Duration;

/// What a lifetime is, in words.
pub const LIFETIME_WORDS: &str = "a time such as 30m, 12h, 90d or 52w";

/// The units and their seconds.
const UNITS: [(&str, u64); 4] = [("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800)];
/// A hundred years are for ever, and stay within what a moment may be.
const LONGEST: u64 = 100 * 366 * 86_400;

/// `90d`: so many minutes (m), hours (h), days (d) or weeks (w), a hundred years at most. `None` for anything else,
/// [`LIFETIME_WORDS`] being expected.
pub fn lifetime(text: &str) -> Option<Duration> {
    let (number, seconds) =
        UNITS.into_iter().find_map(|(unit, seconds)| Some((text.trim().strip_suffix(unit)?, seconds)))?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    (1..=LONGEST).contains(&whole).then(|| Duration::from_secs(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_read() {
        assert_eq!(lifetime("90d"), Some(Duration::from_hours(90 * 24)));
        assert_eq!(lifetime(" 30m "), Some(Duration::from_mins(30)));
        assert_eq!(lifetime("2w"), lifetime("14d"));
        for text in ["", "d", "90", "0d", "90s", "1.5h", "+5d", "99999999999w", "18446744073709551615w", "5é"] {
            assert_eq!(lifetime(text), None, "{text}");
        }
    }
}
