//! Signatures of calls, remembered for callers that do not hand them back.

use super::super::conversation::Call;
use super::super::signatures::{Key, Proof, keep, kept, key};

/// What `Google` takes in place of the signature of a call that its models did not make:
/// <https://ai.google.dev/gemini-api/docs/thought-signatures>.
pub(super) const NOT_OURS: &str = "skip_thought_signature_validator";

/// Remembers the signature of a call; an empty `id` stands for none.
pub(super) fn remember(id: &str, name: &str, arguments: &str, signature: &str) {
    keep(found_by(id, name, arguments), Proof::Thought(signature.into()));
}

/// The signature of a call that comes back: its own, else the one remembered.
pub(super) fn of(call: &Call<'_>) -> Option<String> {
    if let Some(signature) = call.thought_signature {
        return Some(signature.to_owned());
    }
    let remembered = |id| match kept(found_by(id, &call.name, &call.arguments)) {
        Some(Proof::Thought(signature)) => Some(signature.to_string()),
        _ => None,
    };
    remembered(&call.id).or_else(|| remembered(""))
}

fn found_by(id: &str, name: &str, arguments: &str) -> Key {
    key("gemini", id, name, arguments)
}
