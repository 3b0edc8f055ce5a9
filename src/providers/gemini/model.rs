//! What differs between the models, read off their names: `gemini-3.1-flash-lite-preview` is version 3.1.
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
    /// By a level (3 and later); the lowest and the highest exist on some only.
    Levels { minimal: bool, xhigh: bool },
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
            let minimal = !has("pro") && (has("lite") || version.is_some_and(|version| version < (3, 7)));
            let unknown = version.is_some_and(|version| version >= (4, 0)) && !has("argon");
            Thinking::Levels { minimal, xhigh: unknown }
        };
        Self { thinking, third: !old && from((3, 0)), instructions: true, penalties: !old && !from((2, 5)) }
    }
}

impl Thinking {
    /// The field of `thinkingConfig` for a reasoning effort; `None` where the model cannot be told.
    pub(super) fn config(self, effort: Effort) -> Option<(&'static str, serde_json::Value)> {
        match self {
            Self::Fixed => None,
            Self::Budget { least } => {
                let budget = match effort {
                    Effort::None => least,
                    Effort::Minimal => 512,
                    Effort::Low => 1024,
                    Effort::Medium => 8192,
                    Effort::High | Effort::Xhigh | Effort::Max => 24_576,
                };
                Some(("thinkingBudget", budget.into()))
            }
            Self::Levels { minimal, xhigh } => {
                let level = match effort {
                    Effort::None | Effort::Minimal if minimal => "MINIMAL",
                    Effort::None | Effort::Minimal | Effort::Low => "LOW",
                    Effort::Medium => "MEDIUM",
                    Effort::Xhigh | Effort::Max if xhigh => "XHIGH",
                    Effort::High | Effort::Xhigh | Effort::Max => "HIGH",
                };
                Some(("thinkingLevel", level.into()))
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
        let levels = |minimal, xhigh| Thinking::Levels { minimal, xhigh };
        for (id, thinking) in [
            ("gemini-1.5-pro", Thinking::Fixed),
            ("gemini-2.0-flash", Thinking::Fixed),
            ("gemini-exp-1206", Thinking::Fixed),
            ("gemini-2.5-flash", Thinking::Budget { least: 0 }),
            ("gemini-2.5-flash-lite-preview-06-17", Thinking::Budget { least: 0 }),
            ("models/gemini-2.5-pro", Thinking::Budget { least: 128 }),
            ("gemini-2.5-flash-image", Thinking::Fixed),
            ("gemini-3-pro-preview", levels(false, false)),
            ("gemini-3-flash-preview", levels(true, false)),
            ("gemini-3.1-flash-lite", levels(true, false)),
            ("gemini-3.6-flash", levels(true, false)),
            ("gemini-3.8-flash", levels(false, false)),
            ("gemini-flash-latest", levels(false, false)),
            ("gemini-4-argon", levels(false, false)),
            ("gemini-4-hydrogen", levels(false, true)),
            ("gemma-3-27b-it", Thinking::Fixed),
            ("anything", Thinking::Fixed),
        ] {
            assert_eq!(Model::of(id).thinking, thinking, "{id}");
        }
    }

    #[test]
    fn efforts() {
        let of = |id: &str, effort| {
            let effort = Effort::named(effort)?;
            Model::of(id).thinking.config(effort).map(|(name, value)| (name, value.to_string()))
        };
        for (effort, budget) in
            [("none", 0), ("minimal", 512), ("low", 1024), ("medium", 8192), ("high", 24576), ("xhigh", 24576)]
        {
            assert_eq!(of("gemini-2.5-flash", effort), Some(("thinkingBudget", budget.to_string())), "{effort}");
        }
        assert_eq!(of("gemini-2.5-pro", "none"), Some(("thinkingBudget", "128".to_owned())));
        for (effort, level) in [("none", "MINIMAL"), ("minimal", "MINIMAL"), ("low", "LOW"), ("medium", "MEDIUM")] {
            assert_eq!(
                of("gemini-3-flash-preview", effort),
                Some(("thinkingLevel", format!("\"{level}\""))),
                "{effort}"
            );
        }
        assert_eq!(of("gemini-3.1-pro-preview", "none"), Some(("thinkingLevel", "\"LOW\"".to_owned())));
        assert_eq!(of("gemini-3-flash-preview", "max"), Some(("thinkingLevel", "\"HIGH\"".to_owned())));
        assert_eq!(of("gemini-4-hydrogen", "xhigh"), Some(("thinkingLevel", "\"XHIGH\"".to_owned())));
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
