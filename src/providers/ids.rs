//! Ids of tool calls, made to fit what a provider takes.
//!
//! A conversation that changes provider carries ids of the one before. The same id always becomes the same other id,
//! so that calls and results stay together without any memory, and an id that already fits is left alone.

use std::borrow::Cow;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// What a provider takes as the id of a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Letters, digits, `_` and `-`, at least one (Anthropic).
    Word,
    /// Exactly nine letters or digits (Mistral).
    Nine,
    /// One to forty characters (`OpenAI`).
    Forty,
}

impl Rule {
    /// Whether `id` is taken as it is.
    pub fn takes(self, id: &str) -> bool {
        match self {
            Self::Word => !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')),
            Self::Nine => id.len() == NINE && id.bytes().all(|b| b.is_ascii_alphanumeric()),
            Self::Forty => !id.is_empty() && id.chars().count() <= 40,
        }
    }
}

const NINE: usize = 9;

/// `id`, or what stands for it where `rule` does not take it.
pub fn fit(id: &str, rule: Rule) -> Cow<'_, str> {
    if rule.takes(id) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(match rule {
        Rule::Word | Rule::Forty => format!("call_{:032x}", xxh3_128(id.as_bytes())),
        Rule::Nine => nine(xxh3_64(id.as_bytes())),
    })
}

/// Nine digits of base 62.
fn nine(mut number: u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digit = |_| {
        let digit = DIGITS[(number % 62) as usize];
        number /= 62;
        char::from(digit)
    };
    (0..NINE).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: [Rule; 3] = [Rule::Word, Rule::Nine, Rule::Forty];

    #[test]
    fn what_fits_is_left_alone() {
        assert_eq!(fit("toolu_01-A", Rule::Word), "toolu_01-A");
        assert_eq!(fit("abcDEF123", Rule::Nine), "abcDEF123");
        assert_eq!(fit("call.7", Rule::Forty), "call.7");
        assert_eq!(fit("call.7", Rule::Word).len(), 37);
        assert_ne!(fit("call.7", Rule::Word), fit("call:7", Rule::Word));
    }

    proptest! {
        #[test]
        fn every_id_fits_afterwards_and_stays(id in "\\PC{0,60}") {
            for rule in RULES {
                let fitted = fit(&id, rule);
                prop_assert!(rule.takes(&fitted), "{fitted}");
                prop_assert_eq!(fit(&fitted, rule), fit(&id, rule));
            }
        }
    }
}
