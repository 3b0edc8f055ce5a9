//! What a request's bytes may hold, found in one pass: most requests hold nothing of it and are never parsed.

use memchr::memchr2;

/// Names that stand in a body, as a key or a value; a body with escaped letters may hold any of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marks(u16);

impl Marks {
    /// The role `developer`.
    pub const DEVELOPER: Self = Self(1);
    /// Reasoning or signatures of an earlier turn.
    pub const REASONING: Self = Self(1 << 1);
    /// Marks for caching.
    pub const CACHE: Self = Self(1 << 2);
    /// Tool calls or their results.
    pub const CALLS: Self = Self(1 << 3);
    /// The forms before `tools`.
    pub const FUNCTIONS: Self = Self(1 << 4);
    /// Images.
    pub const IMAGES: Self = Self(1 << 5);
    /// Audio.
    pub const AUDIO: Self = Self(1 << 6);

    /// Tools offered.
    pub const TOOLS: Self = Self(1 << 7);

    /// Tools whose input is text of any form.
    pub const CUSTOM: Self = Self(1 << 8);

    const ALL: Self = Self(u16::MAX);

    /// Those of `body`.
    pub fn of(body: &[u8]) -> Self {
        const NAMES: [(&[u8], Marks); 19] = [
            (b"developer\"", Marks::DEVELOPER),
            (b"thinking_blocks\"", Marks::REASONING),
            (b"thinking\"", Marks::REASONING),
            (b"redacted_thinking\"", Marks::REASONING),
            (b"extra_content\"", Marks::REASONING),
            (b"reasoning_content\"", Marks::REASONING),
            (b"reasoning\"", Marks::REASONING),
            (b"reasoning_details\"", Marks::REASONING),
            (b"provider_specific_fields\"", Marks::REASONING),
            (b"cache_control\"", Marks::CACHE),
            (b"tool_calls\"", Marks::CALLS),
            (b"tool_call_id\"", Marks::CALLS),
            (b"function_call\"", Marks::FUNCTIONS),
            (b"functions\"", Marks(Marks::FUNCTIONS.0 | Marks::TOOLS.0)),
            (b"tools\"", Marks::TOOLS),
            (b"custom\"", Marks::CUSTOM),
            (b"image_url\"", Marks::IMAGES),
            (b"input_audio\"", Marks::AUDIO),
            (b"modalities\"", Marks::AUDIO),
        ];
        const FIRST: [bool; 256] = {
            let (mut first, mut at) = ([false; 256], 0);
            while at < NAMES.len() {
                first[NAMES[at].0[0] as usize] = true;
                at += 1;
            }
            first
        };
        let mut found = 0;
        let mut rest = body;
        while let Some(at) = memchr2(b'"', b'\\', rest) {
            let after = &rest[at + 1..];
            if rest[at] == b'\\' {
                // A letter in disguise; other escapes stand for what no name holds.
                if after.starts_with(b"u00") && after.get(3).is_some_and(|digit| matches!(digit, b'2'..=b'7')) {
                    return Self::ALL;
                }
                rest = after.get(1..).unwrap_or_default();
                continue;
            }
            // Most quotes begin something else, which its first letter tells.
            if after.first().is_some_and(|first| FIRST[usize::from(*first)]) {
                let here = NAMES.iter().filter(|(name, _)| after.starts_with(name));
                found |= here.fold(0, |found, (_, mark)| found | mark.0);
            }
            rest = after;
        }
        Self(found)
    }

    /// Whether any of `marks` is there.
    pub fn any(self, marks: Self) -> bool {
        self.0 & marks.0 != 0
    }
}

impl std::ops::BitOr for Marks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_keys_and_values_and_not_in_texts() {
        assert_eq!(
            Marks::of(br#"{"messages":[{"role":"user","content":"say \"developer\" and \\"}]}"#),
            Marks::default()
        );
        let found = Marks::of(br#"{"role":"developer","tool_calls":[]}"#);
        assert!(found == Marks::DEVELOPER | Marks::CALLS && !found.any(Marks::IMAGES));
        assert_eq!(Marks::of(br#"{"role":"\u0064eveloper"}"#), Marks::ALL);
        assert_eq!(Marks::of("{\"a\":\"\\u00e9 \\u4e2d \\n\"}\\".as_bytes()), Marks::default());
        assert_eq!(Marks::of(b"\"thinking"), Marks::default());
    }
}
