//! The model string `router-[router name]-[threshold]`, with `RouteLLM`'s order of checks and its exact texts; and what
//! is ours: shares, a threshold for each step of a ladder, and routers that need none.

use super::python_float;
use crate::error::{Error, Kind, Result};

/// How much win rate is asked for before a stronger model answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Strong when the win rate is at least this; 0 is always strong, and higher means fewer strong calls.
    Threshold(f64),
    /// Strong for this part of the traffic, 0..=1, those with the highest win rates.
    Share(f64),
    /// For each step of a ladder the win rate from which on it is taken.
    Thresholds(Vec<f64>),
    /// For each step of a ladder the part of the traffic above it.
    Shares(Vec<f64>),
    /// Nothing: the router names a rung by itself.
    Open,
}

/// A parsed model string. The router's name and the numbers are not checked yet: see [`validate`].
#[derive(Debug, Clone, PartialEq)]
pub struct Requested {
    /// Name of the router, as written.
    pub router: String,
    /// What follows it.
    pub rule: Rule,
}

/// What model strings may speak of beyond `RouteLLM`'s.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Routers whose names hold a hyphen.
    pub hyphenated: &'a [String],
    /// Routers that name a rung, so that no threshold needs to follow.
    pub naming: &'a [String],
    /// How many rungs there are.
    pub rungs: usize,
}

impl Default for Known<'_> {
    fn default() -> Self {
        Self { hyphenated: &[], naming: &[], rungs: 2 }
    }
}

/// Why a model string could not be parsed.
#[derive(Debug)]
pub enum Refused {
    /// Fewer than three parts: a plain `ValueError` in the original, not a routing error.
    TooFewParts(usize),
    /// A routing error.
    Routing(Error),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooFewParts(parts) => {
                Error::value(format!("not enough values to unpack (expected 3, got {parts})"))
            }
            Refused::Routing(error) => error,
        }
    }
}

/// Splits `router-mf-0.5`, `router-local-30%`, `router-local-0.3,0.7`, `router-local-60%,15%` and `router-rules`.
///
/// Every string that means something to `RouteLLM` keeps its meaning. A name that itself holds a hyphen is found only
/// among those that are `known`; commas count only with more than two rungs; and only a router that names a rung may
/// stand alone.
pub fn parse(model: &str, known: Known<'_>) -> Result<Requested, Refused> {
    let named = model.split_once('-').map_or("", |(_, rest)| rest);
    let alone = || model.starts_with("router") && known.naming.iter().any(|name| name == named);
    let parts: Vec<&str> = model.splitn(3, '-').collect();
    let &[first, router, number] = parts.as_slice() else {
        if alone() {
            return Ok(Requested { router: named.to_owned(), rule: Rule::Open });
        }
        return Err(Refused::TooFewParts(parts.len()));
    };
    let read = rule(number, known.rungs).map(|rule| (router, rule)).or_else(|| {
        let rest = &model[first.len() + 1..];
        known.hyphenated.iter().find_map(|name| {
            let number = rest.strip_prefix(name.as_str())?.strip_prefix('-')?;
            Some((name.as_str(), rule(number, known.rungs)?))
        })
    });
    let read = read.or_else(|| alone().then_some((named, Rule::Open)));
    let Some((router, rule)) = read else {
        let text = if known.rungs > 2 && number.contains(',') {
            format!(
                "Thresholds {number} must be floats with commas between them, such as 0.3,0.7, or shares, such as \
                 60%,15%."
            )
        } else {
            format!("Threshold {number} must be a float.")
        };
        return Err(Refused::Routing(Error::new(Kind::Routing, text)));
    };
    if !model.starts_with("router") {
        // The original's message opens a quote that it does not close.
        let text =
            format!("Invalid model {model}. Model name must be of the format 'router-[router name]-[threshold].");
        return Err(Refused::Routing(Error::new(Kind::Routing, text)));
    }
    Ok(Requested { router: router.to_owned(), rule })
}

fn rule(number: &str, rungs: usize) -> Option<Rule> {
    if rungs > 2 && number.contains(',') {
        let parts = number.split(',');
        return if number.contains('%') {
            parts.map(share).collect::<Option<_>>().map(Rule::Shares)
        } else {
            parts.map(python_float::parse).collect::<Option<_>>().map(Rule::Thresholds)
        };
    }
    if number.ends_with('%') {
        share(number).map(Rule::Share)
    } else {
        python_float::parse(number).map(Rule::Threshold)
    }
}

fn share(text: &str) -> Option<f64> {
    python_float::parse(text.trim_end().strip_suffix('%')?).map(|percent| percent / 100.0)
}

/// The remaining checks, in the original's order: the router is known, then the numbers are in 0..=1; then what a ladder
/// of these `rungs` asks of several.
///
/// `shown` is a single number as the caller wrote it, for the message.
pub fn validate<'a>(
    router: &str,
    names: impl IntoIterator<Item = &'a str>,
    rule: &Rule,
    rungs: &[String],
    shown: impl FnOnce() -> String,
) -> Result<()> {
    let mut seen = Vec::new();
    let known = names.into_iter().any(|name| {
        seen.push(name);
        name == router
    });
    if !known {
        let list = seen.iter().map(|name| python_str(name)).collect::<Vec<_>>().join(", ");
        return refused(format!("Invalid router {router}. Available routers are [{list}]."));
    }
    let outside = |number: &f64| !(0.0..=1.0).contains(number);
    let threshold =
        |shown: String| refused(format!("Invalid threshold {shown}. Threshold must be a float between 0.0 and 1.0."));
    let share =
        |shown: String| refused(format!("Invalid share {shown}. A share of strong calls must be between 0% and 100%."));
    match rule {
        Rule::Threshold(number) if outside(number) => threshold(shown()),
        Rule::Share(number) if outside(number) => share(shown()),
        Rule::Thresholds(cuts) => {
            steps(cuts.len(), rungs, "threshold")?;
            match cuts.iter().copied().find(outside) {
                Some(cut) => threshold(python_float::repr(cut)),
                None if cuts.is_sorted() => Ok(()),
                None => refused(format!(
                    "Thresholds must not fall, found {}. The rungs run from the weakest to the strongest: {}.",
                    joined(cuts, python_float::repr),
                    rungs.join(", "),
                )),
            }
        }
        Rule::Shares(shares) => {
            steps(shares.len(), rungs, "share")?;
            match shares.iter().copied().find(outside) {
                Some(number) => share(percent(number)),
                None if shares.is_sorted_by(|a, b| a >= b) => Ok(()),
                None => refused(format!(
                    "Shares must not rise, found {}. Each is the part of the calls above one rung more: {}.",
                    percents(shares),
                    rungs.join(", "),
                )),
            }
        }
        _ => Ok(()),
    }
}

fn refused(text: String) -> Result<()> {
    Err(Error::new(Kind::Routing, text))
}

/// Whether there is one number for each step between rungs.
fn steps(found: usize, rungs: &[String], what: &str) -> Result<()> {
    let wanted = rungs.len().saturating_sub(1);
    if found == wanted {
        return Ok(());
    }
    let s = if wanted == 1 { "" } else { "s" };
    let (first, last) = (rungs.first().map_or("", String::as_str), rungs.last().map_or("", String::as_str));
    let alone = if wanted > 1 {
        format!(" A single number, not in a list, chooses between {first} and {last}.")
    } else {
        String::new()
    };
    refused(format!(
        "Expected {wanted} {what}{s}, one for each step between the {} rungs ({}), found {found}.{alone}",
        rungs.len(),
        rungs.join(", "),
    ))
}

/// A share as the model string writes it: `30%`.
pub fn percent(share: f64) -> String {
    // Rounded, so that 0.07 shows as 7 % and not as 7.000000000000001 %.
    format!("{}%", (share * 1e10).round() / 1e8)
}

/// Shares as the model string writes them: `60%,15%`.
pub fn percents(shares: &[f64]) -> String {
    joined(shares, percent)
}

fn joined(numbers: &[f64], shown: impl Fn(f64) -> String) -> String {
    numbers.iter().map(|number| shown(*number)).collect::<Vec<_>>().join(",")
}

/// A string as Python's `repr` writes it, for the names that occur here: quotes chosen as Python chooses them.
pub fn python_str(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_ascii_control() => out.extend(format!("\\x{:02x}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(model: &str) -> Result<Requested> {
        parse(model, Known::default()).map_err(Error::from)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn share_form() {
        let share = |model| parsed(model).map(|requested| requested.rule);
        assert_eq!(share("router-local-30%").ok(), Some(Rule::Share(0.3)));
        assert_eq!(share("router-local-12.5%").ok(), Some(Rule::Share(0.125)));
        assert!(share("router-local-%").is_err_and(|e| e.message() == "Threshold % must be a float."));
        assert!(
            validate("local", ["local"], &Rule::Share(1.3), &names(&["weak", "strong"]), || percent(1.3))
                .is_err_and(|e| e.message().contains("130%"))
        );
        assert_eq!(percent(0.07), "7%");
    }

    #[test]
    fn names_with_hyphens_are_found_only_when_known() {
        let model = "router-my-own-0.5";
        assert!(parsed(model).is_err_and(|e| e.message() == "Threshold own-0.5 must be a float."));
        let hyphenated = names(&["a-", "my-own"]);
        let known = Known { hyphenated: &hyphenated, ..Known::default() };
        let router = |model| parse(model, known).map_err(Error::from).map(|requested| requested.router).ok();
        assert_eq!(router(model).as_deref(), Some("my-own"));
        // A string that means something today keeps its meaning: router `a`, threshold -0.5.
        assert_eq!(router("router-a--0.5").as_deref(), Some("a"));
    }

    #[test]
    fn commas_count_with_more_than_two_rungs_only() {
        let of = |model: &str, rungs| {
            parse(model, Known { rungs, ..Known::default() }).map_err(Error::from).map(|requested| requested.rule)
        };
        assert_eq!(of("router-local-0.3,0.7", 3).ok(), Some(Rule::Thresholds(vec![0.3, 0.7])));
        assert_eq!(of("router-local-60%,15%", 3).ok(), Some(Rule::Shares(vec![0.6, 0.15])));
        assert_eq!(of("router-local-60%, 15% ", 3).ok(), Some(Rule::Shares(vec![0.6, 0.15])));
        assert_eq!(of("router-local-0.5", 3).ok(), Some(Rule::Threshold(0.5)));
        assert!(of("router-local-0.3,0.7", 2).is_err_and(|e| e.message() == "Threshold 0.3,0.7 must be a float."));
        for mixed in ["0.3,70%", "60%,0.15", "0.3,", ",", "0.3,x", "%,%"] {
            let error = of(&format!("router-local-{mixed}"), 3);
            assert!(error.is_err_and(|e| e.message().starts_with(&format!("Thresholds {mixed} must be"))), "{mixed}");
        }
    }

    #[test]
    fn a_router_that_names_a_rung_may_stand_alone() {
        let naming = names(&["rules", "my-rules"]);
        let of = |model: &str| parse(model, Known { naming: &naming, ..Known::default() });
        for (model, router) in [("router-rules", "rules"), ("router-my-rules", "my-rules")] {
            let requested = of(model).ok();
            assert_eq!(requested, Some(Requested { router: router.to_owned(), rule: Rule::Open }), "{model}");
        }
        let requested = of("router-rules-0.5").ok();
        assert_eq!(requested.map(|r| (r.router, r.rule)), Some(("rules".to_owned(), Rule::Threshold(0.5))));
        assert!(matches!(of("router-mf"), Err(Refused::TooFewParts(2))));
        assert!(matches!(of("gpt-rules"), Err(Refused::TooFewParts(2))));
        assert!(matches!(parse("router-rules", Known::default()), Err(Refused::TooFewParts(2))));
    }

    #[test]
    fn a_ladder_wants_a_number_for_each_step_in_order() {
        let rungs = names(&["cheap", "mid", "expensive"]);
        let says =
            |rule: Rule| validate("a", ["a"], &rule, &rungs, String::new).err().map(|error| error.message().to_owned());
        assert_eq!(says(Rule::Thresholds(vec![0.3, 0.3])), None);
        assert_eq!(says(Rule::Shares(vec![0.6, 0.15])), None);
        assert_eq!(says(Rule::Open), None);
        let cases = [
            (
                Rule::Thresholds(vec![0.3]),
                "Expected 2 thresholds, one for each step between the 3 rungs (cheap, mid, expensive), found 1.",
            ),
            (Rule::Shares(vec![0.3, 0.2, 0.1]), "Expected 2 shares"),
            (Rule::Thresholds(vec![0.7, 0.3]), "Thresholds must not fall, found 0.7,0.3."),
            (Rule::Shares(vec![0.15, 0.6]), "Shares must not rise, found 15%,60%."),
            (Rule::Thresholds(vec![0.3, f64::NAN]), "Invalid threshold nan. Threshold must be"),
            (Rule::Shares(vec![1.2, 0.1]), "Invalid share 120%."),
        ];
        for (rule, expected) in cases {
            assert!(says(rule.clone()).is_some_and(|said| said.starts_with(expected)), "{rule:?}");
        }
    }

    #[test]
    fn names_in_messages_are_pythons() {
        assert_eq!(python_str("it's"), "\"it's\"");
        assert_eq!(python_str("a\\b\n"), "'a\\\\b\\n'");
        assert_eq!(python_str("both ' and \""), "'both \\' and \"'");
    }
}
