//! What a server refuses of a short request, so that it is asked without that.
//!
//! Capabilities are known of the models in our tables, at their providers' own hosts. A server of somebody's own takes
//! what it takes, and says so by an error whose only common feature is that it names the parameter.

use serde_json::Value;

use crate::error::Error;

/// Parameters that are left out, a bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unsaid(pub(super) u8);

impl Unsaid {
    /// The schema that the answer is held to.
    pub(super) const SCHEMA: u8 = 1;
    /// `reasoning_effort`.
    pub(super) const EFFORT: u8 = 2;
    /// `temperature`.
    pub(super) const COLD: u8 = 4;
    /// `max_completion_tokens` or `max_tokens`, whichever goes out. The time limit still holds, and the answer's form.
    pub(super) const ROOM: u8 = 8;

    pub(super) fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// With what `error` refuses of the parameters that were `sent`; `None` where it is about something else.
    pub(super) fn after(self, error: &Error, sent: &[u8]) -> Option<Self> {
        let answer = error.answer().filter(|answer| matches!(answer.status, 400 | 404 | 422 | 501))?;
        let refused = refused(&answer.body, sent);
        (refused != 0).then_some(Self(self.0 | refused))
    }
}

/// What the parameters are called, in each provider's words.
const NAMES: [(u8, &[&str]); 4] = [
    (
        Unsaid::SCHEMA,
        &[
            "response_format",
            "json_schema",
            "output_config.format",
            "output_config",
            "output_format",
            "responseschema",
            "responsejsonschema",
            "grammar",
            "structured output",
        ],
    ),
    (Unsaid::EFFORT, &["reasoning_effort", "reasoning.effort", "output_config.effort", "effort", "thinking"]),
    (Unsaid::COLD, &["temperature"]),
    (Unsaid::ROOM, &["max_completion_tokens", "max_tokens", "maxoutputtokens"]),
];

/// The bits of `sent` that an error's body names: by its `param` where it has one, else anywhere.
fn refused(body: &[u8], sent: &[u8]) -> u8 {
    let named = serde_json::from_slice::<Value>(body).ok().and_then(|body| {
        let error = body.get("error").unwrap_or(&body);
        error.get("param").and_then(Value::as_str).map(str::to_lowercase)
    });
    let text = String::from_utf8_lossy(body).to_lowercase();
    let within = |text: &str| {
        let words = |bit: u8| NAMES.iter().filter(move |(known, _)| *known == bit).flat_map(|(_, words)| *words);
        let found = sent.iter().filter(|bit| words(**bit).any(|word| text.contains(word)));
        found.fold(0, |bits, bit| bits | bit)
    };
    let by_name = named.as_deref().map_or(0, within);
    if by_name == 0 { within(&text) } else { by_name }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [u8; 4] = [Unsaid::SCHEMA, Unsaid::EFFORT, Unsaid::COLD, Unsaid::ROOM];

    #[test]
    fn an_error_names_what_it_refuses() {
        for (body, expected) in [
            (r#"{"error": {"message": "Unsupported value: 'temperature' does not support 0"}}"#, Unsaid::COLD),
            (r#"{"error": {"message": "x", "param": "reasoning_effort"}}"#, Unsaid::EFFORT),
            // What else the message lists is not refused.
            (
                r#"{"error": {"message": "known: temperature, max_tokens", "param": "reasoning_effort"}}"#,
                Unsaid::EFFORT,
            ),
            (r#"{"detail": [{"loc": ["body", "max_completion_tokens"], "msg": "extra"}]}"#, Unsaid::ROOM),
            ("unknown: reasoning_effort, temperature", Unsaid::EFFORT | Unsaid::COLD),
            (r#"{"error": {"message": "bad", "param": "messages"}}"#, 0),
            (r#"{"error": {"message": "no such model"}}"#, 0),
            ("", 0),
        ] {
            assert_eq!(refused(body.as_bytes(), &ALL), expected, "{body}");
        }
        assert_eq!(refused(b"temperature", &[Unsaid::ROOM]), 0, "what was not sent is not refused");
    }
}
