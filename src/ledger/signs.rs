//! The signs by which an answer can be seen to have failed, without labels.

/// A set of signs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Signs(u8);

impl Signs {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// No text, no call of a tool, no refusal: nothing.
    pub const EMPTY: Self = Self(1);
    /// The model declines, or a filter did.
    pub const REFUSAL: Self = Self(1 << 1);
    /// Cut at the longest length.
    pub const TRUNCATED: Self = Self(1 << 2);
    /// JSON was asked for, and it is none.
    pub const INVALID_JSON: Self = Self(1 << 3);
    /// It is JSON, but does not follow the schema asked for.
    pub const INVALID_SCHEMA: Self = Self(1 << 4);
    /// The arguments of a call are no JSON object, or do not follow the tool's parameters.
    pub const BAD_TOOL_ARGUMENTS: Self = Self(1 << 5);
    /// The user asked nearly the same again.
    pub const ASKED_AGAIN: Self = Self(1 << 6);

    /// All signs by their names, in the order they are told in.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("empty", Self::EMPTY),
        ("refusal", Self::REFUSAL),
        ("truncated", Self::TRUNCATED),
        ("invalid_json", Self::INVALID_JSON),
        ("invalid_schema", Self::INVALID_SCHEMA),
        ("bad_tool_arguments", Self::BAD_TOOL_ARGUMENTS),
        ("asked_again", Self::ASKED_AGAIN),
    ];

    /// The sign of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, sign)| *sign)
    }

    /// Those of a stored list; a sign of a later version is passed over.
    pub fn listed(list: &str) -> Self {
        list.split(',').filter_map(Self::named).fold(Self::NONE, Self::and)
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(_, sign)| self.has(*sign)).map(|(name, _)| name)
    }

    /// The list as it is stored: names with commas between them; empty where there is no sign.
    pub fn list(self) -> String {
        self.names().collect::<Vec<_>>().join(",")
    }

    /// These and others.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those of these that are among others.
    #[must_use]
    pub fn among(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Whether any of `sign` is there.
    pub fn has(self, sign: Self) -> bool {
        self.0 & sign.0 != 0
    }

    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_they_are_written() {
        for bits in 0..128 {
            assert_eq!(Signs::listed(&Signs(bits).list()), Signs(bits));
        }
        assert_eq!(Signs::EMPTY.and(Signs::TRUNCATED).list(), "empty,truncated");
        assert_eq!(Signs::listed("truncated,of_a_later_version"), Signs::TRUNCATED);
        assert_eq!(Signs::NONE.list(), "");
        assert_eq!(Signs::named("bored"), None);
    }
}
