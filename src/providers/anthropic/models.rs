//! What a Claude takes, by its family and version number.
//!
//! Sources: the table of the wire format, and Anthropic's migration guides for 4.6 to 5.5 (state: 2026-11): sampling
//! went with 4.7, thinking budgets and prefilled answers with 4.6; 5 thinks unless told not to, 5.5 (and Fable and
//! Mythos) cannot be told, nor be made to call a tool.

use crate::providers::types::Endpoint;

/// How a model is asked to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// It does not think.
    Never,
    /// `enabled` with a budget of tokens.
    Budget,
    /// `adaptive`, with an effort.
    Adaptive,
}

/// How a model is asked not to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Off {
    /// It does not think unless asked to.
    Unasked,
    /// `{"type":"disabled"}`, which goes with an effort up to high.
    Disabled,
    /// It always thinks.
    Never,
}

/// The rules of one model.
#[expect(clippy::struct_excessive_bools, reason = "a table of what is allowed")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Takes temperature, `top_p` and `top_k`, under API version 2023-06-01.
    pub sampling: bool,
    /// Refuses temperature and `top_p` together.
    pub one_sampler: bool,
    /// How it is asked to think.
    pub thinking: Thinking,
    /// How it is asked not to.
    pub off: Off,
    /// Thinks when nothing is said.
    pub thinks_unasked: bool,
    /// Knows effort `xhigh`.
    pub xhigh: bool,
    /// Can be made to call a tool.
    pub forced_tools: bool,
    /// Goes on where an assistant's message at the end of the conversation stops.
    pub prefill: bool,
    /// Knows `output_config.format` and strict tools.
    pub schema: bool,
    /// Takes back thinking blocks only of its own.
    pub own_thoughts: bool,
}

impl Rules {
    /// Those of the model behind `endpoint`.
    pub fn of(endpoint: &Endpoint) -> Self {
        Self::named(endpoint.base_model.as_deref().unwrap_or(&endpoint.model))
    }

    /// Those of the model called `name`. A Claude without a number is taken for the newest; what is no Claude speaks
    /// the protocol as it was at first.
    pub fn named(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let is_claude = name.contains("claude");
        let version = if is_claude { version(&name).unwrap_or((u32::MAX, 0)) } else { (3, 7) };
        // The largest line is ahead of the others by half a version.
        let largest = name.contains("fable") || name.contains("mythos");
        let always = version >= (5, 5) || largest;
        Self {
            sampling: version < (4, 7) && !largest,
            one_sampler: version >= (4, 1),
            thinking: match () {
                () if largest || version >= (4, 6) => Thinking::Adaptive,
                () if version >= (3, 7) => Thinking::Budget,
                () => Thinking::Never,
            },
            off: match version {
                _ if always => Off::Never,
                (4, 7..) => Off::Unasked,
                _ => Off::Disabled,
            },
            thinks_unasked: version >= (5, 0) || largest,
            xhigh: version >= (4, 7) || largest,
            forced_tools: !always,
            prefill: version < (4, 6) && !largest,
            schema: (version >= (4, 5) && is_claude) || largest,
            own_thoughts: version >= (5, 5) || (largest && version >= (5, 1)),
        }
    }
}

/// The longest answer of models so old that tables may have forgotten them.
pub(super) fn longest_of_old(name: &str) -> Option<u64> {
    let name = name.to_ascii_lowercase();
    match version(&name)? {
        old if old < (3, 5) => Some(4096),
        old if old < (3, 7) => Some(8192),
        old if old < (4, 5) && name.contains("opus") => Some(32_000),
        old if old < (4, 6) => Some(64_000),
        _ => None,
    }
}

/// The first number of a name, and the one right after it: `claude-opus-4-7`, `claude-3-5-sonnet-20241022`,
/// `claude-4.6-opus`. Dates are no versions.
fn version(name: &str) -> Option<(u32, u32)> {
    let after = &name[name.find("claude")?..];
    let mut words = after.split(['-', '.', '@', ':', '/', '_']).map(|word| {
        let digits = word.strip_prefix('v').unwrap_or(word);
        digits.parse::<u32>().ok().filter(|_| digits.len() <= 2)
    });
    let major = words.find_map(|word| word)?;
    Some((major, words.next().flatten().unwrap_or(0)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        for (name, expected) in [
            ("claude-opus-4-7", (4, 7)),
            ("claude-haiku-4-5-20251001", (4, 5)),
            ("claude-3-5-sonnet-20241022", (3, 5)),
            ("claude-3-7-sonnet-latest", (3, 7)),
            ("claude-3-haiku-20240307", (3, 0)),
            ("claude-sonnet-4-20250514", (4, 0)),
            ("claude-sonnet-4@20250514", (4, 0)),
            ("us.anthropic.claude-opus-4-6-v1:0", (4, 6)),
            ("claude-4.6-opus", (4, 6)),
            ("claude-instant-1.2", (1, 2)),
            ("anthropic.claude-v2:1", (2, 1)),
            ("claude-opus-5", (5, 0)),
        ] {
            assert_eq!(version(name), Some(expected), "{name}");
        }
        assert_eq!(version("claude-latest"), None);
    }

    #[test]
    fn rules_change_where_the_models_did() {
        let rules = Rules::named;
        assert_eq!(rules("claude-3-5-sonnet-20241022").thinking, Thinking::Never);
        assert_eq!(rules("claude-3-7-sonnet-20250219").thinking, Thinking::Budget);
        assert_eq!(rules("claude-haiku-4-5").thinking, Thinking::Budget);
        assert_eq!(rules("claude-opus-4-6").thinking, Thinking::Adaptive);
        assert!(rules("claude-opus-4-6").sampling && !rules("claude-opus-4-7").sampling);
        assert!(rules("claude-sonnet-4-5").prefill && !rules("claude-sonnet-4-6").prefill);
        assert!(rules("claude-haiku-4-5").schema && !rules("claude-opus-4-1").schema);
        assert!(rules("claude-opus-5").forced_tools && !rules("claude-opus-5-5").forced_tools);
        assert_eq!(rules("claude-opus-4-8").off, Off::Unasked);
        assert_eq!(rules("claude-opus-5").off, Off::Disabled);
        for always in ["claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5", "claude-mythos-preview"] {
            assert_eq!(rules(always).off, Off::Never, "{always}");
        }
        assert!(!rules("claude-fable-5").own_thoughts && rules("claude-fable-5-1").own_thoughts);
        assert_eq!(rules("claude-latest"), rules("claude-opus-9"));
        assert!(rules("deepseek-chat").sampling && !rules("deepseek-chat").schema);
    }
}
