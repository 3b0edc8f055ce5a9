//! Which models and routers may be asked for.
//!
//! A list names models, rungs, aliases, and routers, each for all its thresholds. What is asked for must be in it. A list that
//! names a router alone leaves to it which of its models answers; one that names models of the ladder as well holds for the
//! router's choice, too.

use super::rung::{Rung, is_model};

/// Whether a list allows what is `asked` for, an alias perhaps, which is `meant`.
pub(super) fn asks(list: &[String], asked: &str, meant: &str) -> bool {
    list.iter().any(|entry| names(entry, asked) || names(entry, meant))
}

/// Whether a list allows a rung of these to answer.
pub(super) fn answers(list: &[String], rung: &Rung<'_>, all: &[Rung<'_>]) -> bool {
    has(list, rung) || !all.iter().any(|rung| has(list, rung))
}

/// Whether a list names this model or rung itself.
pub(super) fn has(list: &[String], rung: &Rung<'_>) -> bool {
    list.iter().any(|entry| rung.is(entry))
}

/// Whether an entry of a list is this model string.
fn names(entry: &str, asked: &str) -> bool {
    if is_model(entry, asked) {
        return true;
    }
    let Some(rest) = asked.strip_prefix(entry).filter(|_| entry.starts_with("router-")) else { return false };
    // `router-mf` is not `router-mf-new-0.5`.
    let threshold = rest.strip_prefix('-').unwrap_or_default();
    threshold.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.')
        && threshold
            .bytes()
            .all(|letter| letter.is_ascii_digit() || matches!(letter, b'.' | b',' | b'%' | b'-' | b'+' | b'e'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|&entry| entry.to_owned()).collect()
    }

    #[test]
    fn a_router_stands_for_all_its_thresholds_and_for_no_other_router() {
        let allowed = list(&["router-local", "gpt-5.4-nano", "fast"]);
        for asked in ["router-local", "router-local-0.5", "router-local-.5", "router-local-30%", "router-local-0.3,0.7"]
        {
            assert!(asks(&allowed, asked, asked), "{asked}");
        }
        for asked in
            ["router-locale-0.5", "router-local-other-0.5", "router-mf-0.5", "router-local-", "router-", "gpt-5.5"]
        {
            assert!(!asks(&allowed, asked, asked), "{asked}");
        }
        assert!(asks(&allowed, "openai/gpt-5.4-nano", "openai/gpt-5.4-nano"));
        assert!(asks(&allowed, "fast", "router-mf-0.7"), "the alias is what is allowed");
        assert!(!asks(&list(&["openai/gpt-5.4-nano"]), "azure/gpt-5.4-nano", "azure/gpt-5.4-nano"));
        assert!(!asks(&[], "gpt-5.5", "gpt-5.5"), "an empty list allows nothing");
    }

    #[test]
    fn models_of_the_ladder_hold_for_the_routers_choice() {
        let rung = |model, tier| Rung { model, tier: Some(tier), open: true };
        let all = [rung("openai/gpt-5.4-nano", "cheap"), rung("gpt-5.5", "expensive")];
        let allowed = |entries: &[&str]| all.each_ref().map(|rung| answers(&list(entries), rung, &all));
        assert_eq!(allowed(&["router-local"]), [true, true]);
        assert_eq!(allowed(&["router-local", "gpt-5.4-nano"]), [true, false]);
        assert_eq!(allowed(&["expensive"]), [false, true]);
        assert_eq!(allowed(&["some-other"]), [true, true]);
    }
}
