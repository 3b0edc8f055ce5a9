//! One entry of `policies` as JSON, for those who write policies in a program: the words of the configuration file.

use serde::Deserialize;

use super::notation::{BUDGET_WORDS, PERCENT_WORDS, RATE_WORDS, budget, percent, rate};
use super::rules::{AtLimit, Rate, Rule, ShareCap, Who};
use crate::error::{Error, Result};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Entry {
    key: Option<String>,
    team: Option<String>,
    model: Option<String>,
    budget: Option<String>,
    share: Option<Share>,
    requests: Option<String>,
    tokens: Option<String>,
    concurrency: Option<u32>,
    models: Option<Vec<String>>,
    at_limit: Option<String>,
    clamp: Option<Clamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Share {
    model: String,
    most: Most,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Most {
    Number(f64),
    Text(String),
}

/// YAML's `on` and `off` are words to some readers and truth to others.
#[derive(Deserialize)]
#[serde(untagged)]
enum Clamp {
    Flag(bool),
    Text(String),
}

/// Reads a list of entries.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value), naming the entry and what was expected.
pub fn rules(json: &str) -> Result<Vec<Rule>> {
    let entries: Vec<serde_json::Value> =
        serde_json::from_str(json).map_err(|error| Error::value(format!("policies: expected a list: {error}")))?;
    let read =
        |(at, entry): (usize, serde_json::Value)| rule(entry).map_err(|error| error.context(format!("policies[{at}]")));
    entries.into_iter().enumerate().map(read).collect()
}

fn rule(entry: serde_json::Value) -> Result<Rule> {
    let entry: Entry = serde_json::from_value(entry).map_err(|error| Error::value(error.to_string()))?;
    let expected = |words: &str, text: &str| Error::value(format!("expected {words}, found {text:?}"));
    let limit = |text: Option<String>| -> Result<Option<Rate>> {
        text.map(|text| rate(&text).ok_or_else(|| expected(RATE_WORDS, &text))).transpose()
    };
    let share = entry.share.map(|share| {
        let most = match share.most {
            Most::Number(most) => Some(most).filter(|most| (0.0..=1.0).contains(most)),
            Most::Text(ref text) => percent(text),
        };
        let most = most.ok_or_else(|| Error::value(format!("share: expected {PERCENT_WORDS}")))?;
        Ok::<_, Error>(ShareCap { model: share.model, most })
    });
    let money = entry.budget.map(|text| budget(&text).ok_or_else(|| expected(BUDGET_WORDS, &text)));
    let no_clamp = match entry.clamp {
        None | Some(Clamp::Flag(true)) => false,
        Some(Clamp::Flag(false)) => true,
        Some(Clamp::Text(text)) => match text.as_str() {
            "on" => false,
            "off" => true,
            _ => return Err(expected("clamp: on or off", &text)),
        },
    };
    Ok(Rule {
        who: Who { key: entry.key, team: entry.team, model: entry.model },
        budget: money.transpose()?,
        share: share.transpose()?,
        requests: limit(entry.requests)?,
        tokens: limit(entry.tokens)?,
        concurrency: entry.concurrency,
        models: entry.models,
        at_limit: match entry.at_limit.as_deref() {
            None | Some("refuse") => AtLimit::Refuse,
            Some("downgrade") => AtLimit::Downgrade,
            Some(text) => return Err(expected("at_limit: refuse or downgrade", text)),
        },
        no_clamp,
        line: 0,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_rule() {
        let json = r#"[{"team":"t","share":{"model":"big","most":"20%"},"requests":"100/minute","at_limit":"downgrade",
            "clamp":"off","models":["a"],"concurrency":8,"budget":"5/day","tokens":"9/hour"},{"share":{"model":"x","most":0.5}}]"#;
        let rules = rules(json).unwrap();
        assert_eq!(rules[0].who.team.as_deref(), Some("t"));
        assert_eq!(rules[0].share, Some(ShareCap { model: "big".into(), most: 0.2 }));
        assert_eq!((rules[0].at_limit, rules[0].no_clamp, rules[0].concurrency), (AtLimit::Downgrade, true, Some(8)));
        assert_eq!(rules[1].share.as_ref().unwrap().most, 0.5);
    }

    #[test]
    fn mistakes_name_their_entry() {
        for (json, word) in [
            (r#"{"team":"t"}"#, "expected a list"),
            (r#"[{},{"requests":"5"}]"#, "policies[1]: expected a number and a span"),
            (r#"[{"teem":"t"}]"#, "policies[0]: unknown field"),
            (r#"[{"share":{"model":"x","most":20}}]"#, "share: expected"),
            (r#"[{"at_limit":"wait"}]"#, "refuse or downgrade"),
            (r#"[{"clamp":"maybe"}]"#, "on or off"),
            (r#"[{"budget":"5"}]"#, "US dollars"),
        ] {
            let error = rules(json).unwrap_err();
            assert!(error.message().contains(word), "{json}: {error}");
        }
    }
}
