//! What differs between the models, read off their names: `gemini-3.5-flash-lite` is version 3.5.
//!
//! State of November 2026, from `Google`'s model pages. A name that tells no version (`gemini-flash-latest`) is taken
//! for a new one, since such names move on.

use super::super::conversation::Effort;

/// How a model is told to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// It cannot be told.
    Fixed,
    /// By a number of tokens (2.5). `least` is what stands for "off" where it cannot be turned off.
    Budget { least: u32 },
    /// By a level (3 and later).
    Levels,
}

/// What one model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    /// How it is told to think.
    pub thinking: Thinking,
    /// Of version 3 or later: a call of a function that comes back without its signature is refused, and it can answer
    /// in JSON and have functions to call at the same time.
    pub third: bool,
    /// It has instructions apart from the conversation.
    pub instructions: bool,
    /// `Google` itself takes presence and frequency penalties for it.
    pub penalties: bool,
}

impl Model {
    /// Of a model id as it is sent.
    pub(super) fn of(id: &str) -> Self {
        let id = id.rsplit('/').next().unwrap_or(id).to_ascii_lowercase();
        let has = |part: &str| id.split('-').any(|word| word == part);
        let Some(rest) = id.strip_prefix("gemini-") else {
            let gemma = id.strip_prefix("gemma-").map(version);
            return Self {
                thinking: Thinking::Fixed,
                third: false,
                instructions: gemma.flatten().is_none_or(|version| version >= (4, 0)),
                penalties: true,
            };
        };
        let version = version(rest);
        let from = |least| version.is_none_or(|version| version >= least);
        // Small numbers of four digits are dates of experiments (`gemini-exp-1206`), older than version 2.
        let old = has("exp") && version.is_none();
        let thinking = if old || has("image") || has("tts") || !from((2, 5)) {
            Thinking::Fixed
        } else if !from((3, 0)) {
            Thinking::Budget { least: if has("pro") { 128 } else { 0 } }
        } else {
            Thinking::Levels
        };
        Self { thinking, third: !old && from((3, 0)), instructions: true, penalties: !old && !from((2, 5)) }
    }
}

/// What is sent for a reasoning effort.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Level {
    /// The field of `thinkingConfig`.
    pub field: &'static str,
    /// Its value.
    pub value: serde_json::Value,
    /// Why it is not what was asked for, where it is not.
    pub changed: Option<&'static str>,
}

impl Thinking {
    /// What stands for a reasoning effort; `None` where the model cannot be told.
    pub(super) fn level(self, effort: Effort) -> Option<Level> {
        const ALWAYS: &str = "this model always thinks; the least effort is asked for";
        match self {
            Self::Fixed => None,
            Self::Budget { least } => {
                let (budget, changed) = match effort {
                    Effort::None => (least, (least > 0).then_some(ALWAYS)),
                    Effort::Minimal => (512, None),
                    Effort::Low => (1024, None),
                    Effort::Medium => (8192, None),
                    Effort::High | Effort::Max => (24_576, None),
                    Effort::Xhigh => (24_576, Some("this model knows no effort above high, which is asked for")),
                };
                Some(Level { field: "thinkingBudget", value: budget.into(), changed })
            }
            Self::Levels => {
                let (level, changed) = match effort {
                    Effort::None => ("MINIMAL", Some(ALWAYS)),
                    Effort::Minimal => ("MINIMAL", None),
                    Effort::Low => ("LOW", None),
                    Effort::Medium => ("MEDIUM", None),
                    Effort::High => ("HIGH", None),
                    // The most there is.
                    Effort::Xhigh | Effort::Max => ("XHIGH", None),
                };
                Some(Level { field: "thinkingLevel", value: level.into(), changed })
            }
        }
    }
}

/// `3.1-pro` is (3, 1), `3-flash` (3, 0), `flash-latest` nothing.
fn version(rest: &str) -> Option<(u32, u32)> {
    let word = rest.split('-').next()?;
    let (major, minor) = word.split_once('.').unwrap_or((word, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_by_version() {
        for (id, thinking) in [
            ("gemini-1.5-pro", Thinking::Fixed),
            ("gemini-2.0-flash", Thinking::Fixed),
            ("gemini-exp-1206", Thinking::Fixed),
            ("gemini-2.5-flash", Thinking::Budget { least: 0 }),
            ("gemini-2.5-flash-lite-preview-06-17", Thinking::Budget { least: 0 }),
            ("models/gemini-2.5-pro", Thinking::Budget { least: 128 }),
            ("gemini-2.5-flash-image", Thinking::Fixed),
            ("gemini-3-pro-preview", Thinking::Levels),
            ("gemini-3-flash-preview", Thinking::Levels),
            ("gemini-3.1-flash-lite", Thinking::Levels),
            ("gemini-3.6-flash", Thinking::Levels),
            ("gemini-3.8-flash", Thinking::Levels),
            ("gemini-flash-latest", Thinking::Levels),
            ("gemini-4-argon", Thinking::Levels),
            ("gemini-4-hydrogen", Thinking::Levels),
            ("gemma-3-27b-it", Thinking::Fixed),
            ("anything", Thinking::Fixed),
        ] {
            assert_eq!(Model::of(id).thinking, thinking, "{id}");
        }
    }

    #[test]
    fn efforts() {
        let of = |id: &str, effort| {
            let level = Model::of(id).thinking.level(Effort::named(effort)?)?;
            Some((level.field, level.value.to_string(), level.changed.is_some()))
        };
        for (effort, budget, level) in [
            ("minimal", 512, "MINIMAL"),
            ("low", 1024, "LOW"),
            ("medium", 8192, "MEDIUM"),
            ("high", 24576, "HIGH"),
            ("max", 24576, "XHIGH"),
        ] {
            for id in ["gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro"] {
                assert_eq!(of(id, effort), Some(("thinkingBudget", budget.to_string(), false)), "{id} {effort}");
            }
            for id in ["gemini-3-pro-preview", "gemini-3-flash-preview", "gemini-3.8-flash", "gemini-4-argon"] {
                assert_eq!(of(id, effort), Some(("thinkingLevel", format!("\"{level}\""), false)), "{id} {effort}");
            }
        }
        assert_eq!(of("gemini-2.5-flash", "none"), Some(("thinkingBudget", "0".to_owned(), false)));
        // What is not what was asked for says so.
        assert_eq!(of("gemini-2.5-pro", "none"), Some(("thinkingBudget", "128".to_owned(), true)));
        assert_eq!(of("gemini-2.5-flash", "xhigh"), Some(("thinkingBudget", "24576".to_owned(), true)));
        assert_eq!(of("gemini-3.1-pro-preview", "none"), Some(("thinkingLevel", "\"MINIMAL\"".to_owned(), true)));
        assert_eq!(of("gemini-3.1-pro-preview", "xhigh"), Some(("thinkingLevel", "\"XHIGH\"".to_owned(), false)));
        assert_eq!(of("gemini-2.0-flash", "high"), None);
    }

    #[test]
    fn other_rules() {
        let old = Model::of("gemini-2.5-flash");
        assert!(!old.third && !old.penalties && old.instructions);
        let new = Model::of("gemini-3.6-flash");
        assert!(new.third && !new.penalties);
        assert!(Model::of("gemini-2.0-flash").penalties);
        assert!(Model::of("gemini-pro-latest").third && !Model::of("served").third);
        assert!(!Model::of("gemma-3-4b-it").instructions && Model::of("gemma-4-31b-it").instructions);
    }
}
