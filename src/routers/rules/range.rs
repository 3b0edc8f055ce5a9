//! Ranges of whole numbers: `5`, `"< 200"`, `">= 10"`, `"100..2000"`, `{min: 100, max: 2000}`.

use std::fmt;

use crate::data::yaml::node::{At, Data};
use crate::error::Result;

/// What a range may be.
const WHAT: &str = "a whole number, a range such as \"< 200\", \">= 10\" or \"100..2000\", or min and max";

/// A range with both its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    least: u64,
    most: u64,
}

impl Range {
    /// Whether a number is in it.
    pub fn holds(self, number: u64) -> bool {
        (self.least..=self.most).contains(&number)
    }

    /// Reads one.
    ///
    /// # Errors
    /// It is none, or no number is in it.
    pub fn read(at: &At) -> Result<Self> {
        let range = match &at.node.data {
            Data::Number(number) => whole(number).map(|number| Self { least: number, most: number }),
            Data::Text(text) => Self::of_text(text),
            Data::Map(_) => return Self::of_ends(at),
            _ => None,
        };
        range.ok_or_else(|| at.expected(WHAT))?.filled(at)
    }

    fn of_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let all = Self { least: 0, most: u64::MAX };
        if let Some((least, most)) = text.split_once("..") {
            let end = |text: &str, open: u64| if text.trim().is_empty() { Some(open) } else { whole(text) };
            return (text != "..")
                .then_some(())
                .and_then(|()| Some(Self { least: end(least, 0)?, most: end(most, u64::MAX)? }));
        }
        let after = |sign: &str| text.strip_prefix(sign).map(whole);
        if let Some(number) = after("<=") {
            return Some(Self { most: number?, ..all });
        }
        if let Some(number) = after(">=") {
            return Some(Self { least: number?, ..all });
        }
        if let Some(number) = after("<") {
            // Less than 0 is nothing: an empty range, which is refused.
            let most = number?;
            return Some(most.checked_sub(1).map_or(Self { least: 1, most: 0 }, |most| Self { most, ..all }));
        }
        if let Some(number) = after(">") {
            return Some(Self { least: number?.checked_add(1)?, ..all });
        }
        let number = whole(text)?;
        Some(Self { least: number, most: number })
    }

    fn of_ends(at: &At) -> Result<Self> {
        let mut range = Self { least: 0, most: u64::MAX };
        let mut given = false;
        for (name, end) in at.members(WHAT)? {
            let number = match &end.node.data {
                Data::Number(number) => whole(number),
                _ => None,
            };
            let number = number.ok_or_else(|| end.expected("a whole number"));
            match name {
                "min" => range.least = number?,
                "max" => range.most = number?,
                _ => return Err(end.unknown("end of a range", &["min", "max"])),
            }
            given = true;
        }
        if given { range.filled(at) } else { Err(at.expected(WHAT)) }
    }

    fn filled(self, at: &At) -> Result<Self> {
        if self.least > self.most {
            return Err(at.wrong("no number is in this range"));
        }
        Ok(self)
    }
}

/// A whole number of at least 0; `1_000` is one, too.
fn whole(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits: String = text.chars().filter(|&c| c != '_').collect();
    let plain = text.starts_with(|c: char| c.is_ascii_digit()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (least, most) if least == most => write!(f, "{least}"),
            (0, most) => write!(f, "<= {most}"),
            (least, u64::MAX) => write!(f, ">= {least}"),
            (least, most) => write!(f, "{least}..{most}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::data::yaml::node::Node;

    fn read(json: &serde_json::Value) -> Result<Range> {
        let node = Node::of_json(json);
        Range::read(&At::root(&node, ""))
    }

    #[test]
    fn every_form_is_read() {
        for (given, holds, holds_not) in [
            (json!(5), vec![5], vec![4, 6]),
            (json!("5"), vec![5], vec![4, 6]),
            (json!("< 200"), vec![0, 199], vec![200]),
            (json!("<=200"), vec![0, 200], vec![201]),
            (json!(" > 1_000 "), vec![1001, u64::MAX], vec![1000]),
            (json!(">= 10"), vec![10], vec![9]),
            (json!("100..2000"), vec![100, 2000], vec![99, 2001]),
            (json!("100 .. "), vec![100, u64::MAX], vec![99]),
            (json!("..7"), vec![0, 7], vec![8]),
            (json!({"min": 3}), vec![3, 900], vec![2]),
            (json!({"min": 3, "max": 4}), vec![3, 4], vec![2, 5]),
        ] {
            let range = read(&given).unwrap();
            assert!(holds.iter().all(|&number| range.holds(number)), "{given}");
            assert!(!holds_not.iter().any(|&number| range.holds(number)), "{given}");
            assert_eq!(read(&json!(range.to_string())).unwrap(), range, "{given} shown as {range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for given in [
            json!(-1),
            json!(1.5),
            json!("2k"),
            json!("=> 3"),
            json!("<"),
            json!(".."),
            json!("1..2..3"),
            json!(""),
            json!([1]),
            json!(true),
            json!({}),
            json!({"min": "1"}),
            json!("18446744073709551616"),
            json!("> 18446744073709551615"),
            json!("_1"),
        ] {
            assert!(read(&given).is_err(), "{given}");
        }
        assert_eq!(read(&json!("9..3")).unwrap_err().message(), "no number is in this range");
        assert_eq!(read(&json!("< 0")).unwrap_err().message(), "no number is in this range");
        assert_eq!(
            read(&json!({"min": 1, "mox": 2})).unwrap_err().message(),
            "unknown end of a range 'mox'; did you mean 'max'? There are min, max"
        );
    }
}
