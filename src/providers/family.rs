//! `OpenAI`'s models by the rules they share, told by name.

use super::prefix::dotted;

/// The generation of one of `OpenAI`'s models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub enum Family {
    /// `o1`, `o3`, `o4-mini`: always reasons.
    O(u32),
    /// `gpt-5` and later, with the minor version: reasons.
    Gpt(u32, u32),
    /// `gpt-3.5` to `gpt-4.1`, and the chat model of the fifth generation, which does not reason.
    Plain(Plain),
    /// Nobody's name that is known here.
    Unknown,
}

/// What the older models know of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub enum Plain {
    /// Neither form: `gpt-4` and `gpt-3.5` of 2023's first half.
    Text,
    /// `json_object`.
    Object,
    /// `json_schema`.
    Schema,
    /// As the one before, but `max_tokens` is refused: `gpt-5-chat-latest`.
    Chat,
}

impl Family {
    /// The family of `name`, in front of which may stand `ft:` and an owner.
    pub fn of(name: &str) -> Self {
        let name = name.strip_prefix("ft:").unwrap_or(name);
        let name = name.rsplit('/').next().unwrap_or(name);
        let name = name.split(':').next().unwrap_or(name).to_ascii_lowercase();
        if let Some(rest) = name.strip_prefix('o') {
            let number = number(rest);
            return number
                .filter(|_| rest[1..].is_empty() || rest[1..].starts_with('-'))
                .map_or(Self::Unknown, Self::O);
        }
        if name.starts_with("chatgpt-") {
            return Self::Plain(Plain::Text);
        }
        // Azure's deployments cannot hold a dot.
        let name = if name.starts_with("gpt-35") { name.replacen("gpt-35", "gpt-3.5", 1) } else { name };
        let name = dotted(&name).unwrap_or(name);
        let Some(rest) = name.strip_prefix("gpt-") else { return Self::Unknown };
        let Some(major) = number(rest) else { return Self::Unknown };
        if major < 5 {
            return Self::Plain(plain(rest));
        }
        let minor = rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).strip_prefix('.').and_then(number);
        if major == 5 && minor.is_none() && rest.starts_with("5-chat") {
            return Self::Plain(Plain::Chat);
        }
        Self::Gpt(major, minor.unwrap_or(0))
    }

    /// Whether it thinks before it answers, and takes no sampling parameters then.
    pub fn reasons(self) -> bool {
        matches!(self, Self::O(_) | Self::Gpt(..))
    }

    /// The efforts it knows, in rising order.
    pub fn efforts(self) -> Option<&'static [&'static str]> {
        Some(match self {
            Self::O(_) => &["low", "medium", "high"],
            Self::Gpt(5, 0) => &["minimal", "low", "medium", "high"],
            Self::Gpt(5, 1) => &["none", "low", "medium", "high"],
            Self::Gpt(5, 2..=5) => &["none", "low", "medium", "high", "xhigh"],
            Self::Gpt(..) => &["none", "low", "medium", "high", "xhigh", "max"],
            Self::Plain(_) => &[],
            Self::Unknown => return None,
        })
    }
}

/// The number at the beginning.
fn number(text: &str) -> Option<u32> {
    let end = text.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// `gpt-4o` of August 2024 and everything after it know schemas; `gpt-4-turbo` and its previews know objects.
fn plain(rest: &str) -> Plain {
    let dated = |name: &str, date: &str| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(date));
    if rest.starts_with("4o") {
        if dated("4o-", "2024-05-13") { Plain::Object } else { Plain::Schema }
    } else if rest.starts_with("4.") {
        Plain::Schema
    } else if rest.starts_with("4-turbo") || rest.starts_with("4-1106") || rest.starts_with("4-0125") {
        Plain::Object
    } else if rest.starts_with("3.5-turbo") {
        let old = ["-0301", "-0613", "-16k", "-instruct"].iter().any(|old| dated("3.5-turbo", old));
        if old { Plain::Text } else { Plain::Object }
    } else {
        Plain::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_generation() {
        for (name, family) in [
            ("o1", Family::O(1)),
            ("o3-mini-2025-01-31", Family::O(3)),
            ("openai/o4-mini", Family::O(4)),
            ("gpt-5", Family::Gpt(5, 0)),
            ("gpt-5-mini-2025-08-07", Family::Gpt(5, 0)),
            ("gpt-5.2-2025-12-11", Family::Gpt(5, 2)),
            ("gpt-5-2", Family::Gpt(5, 2)),
            ("GPT-5.6", Family::Gpt(5, 6)),
            ("gpt-6-mini", Family::Gpt(6, 0)),
            ("ft:gpt-5-mini:org::id", Family::Gpt(5, 0)),
            ("gpt-5-chat-latest", Family::Plain(Plain::Chat)),
            ("gpt-4-1106-preview", Family::Plain(Plain::Object)),
            ("gpt-4-1", Family::Plain(Plain::Schema)),
            ("gpt-4", Family::Plain(Plain::Text)),
            ("gpt-4o-mini", Family::Plain(Plain::Schema)),
            ("ft:gpt-4o-2024-08-06:org", Family::Plain(Plain::Schema)),
            ("gpt-35-turbo", Family::Plain(Plain::Object)),
            ("gpt-oss-120b", Family::Unknown),
            ("omni-moderation", Family::Unknown),
            ("o", Family::Unknown),
            ("o1é", Family::Unknown),
            ("big", Family::Unknown),
            ("", Family::Unknown),
        ] {
            assert_eq!(Family::of(name), family, "{name}");
        }
    }
}
