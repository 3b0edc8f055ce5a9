//! The model string `router-[router name]-[threshold]`, with `RouteLLM`'s order of checks and its exact texts.

use super::python_float;
use crate::error::{Error, Kind, Result};

/// How much win rate is asked for before the strong model answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Strong when the win rate is at least this; 0 is always strong, and higher means fewer strong calls.
    Threshold(f64),
    /// Strong for this part of the traffic, 0..=1, those with the highest win rates.
    Share(f64),
}

/// A parsed model string. The router's name and the number are not checked yet: see [`validate`].
#[derive(Debug, Clone, PartialEq)]
pub struct Requested {
    /// Name of the router, as written.
    pub router: String,
    /// What follows it.
    pub rule: Rule,
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

/// Splits `router-mf-0.5` or `router-local-30%`.
///
/// A name that itself holds a hyphen is found only through `names`, the routers there are, so every string that
/// means something without them keeps its meaning.
pub fn parse<'a>(model: &str, names: impl IntoIterator<Item = &'a str>) -> Result<Requested, Refused> {
    let parts: Vec<&str> = model.splitn(3, '-').collect();
    let &[first, router, number] = parts.as_slice() else {
        return Err(Refused::TooFewParts(parts.len()));
    };
    let read = rule(number).map(|rule| (router, rule)).or_else(|| {
        let rest = &model[first.len() + 1..];
        names.into_iter().filter(|name| name.contains('-')).find_map(|name| {
            let number = rest.strip_prefix(name)?.strip_prefix('-')?;
            Some((name, rule(number)?))
        })
    });
    let Some((router, rule)) = read else {
        return Err(Refused::Routing(Error::new(Kind::Routing, format!("Threshold {number} must be a float."))));
    };
    if !model.starts_with("router") {
        // The original's message opens a quote that it does not close.
        let text =
            format!("Invalid model {model}. Model name must be of the format 'router-[router name]-[threshold].");
        return Err(Refused::Routing(Error::new(Kind::Routing, text)));
    }
    Ok(Requested { router: router.to_owned(), rule })
}

fn rule(number: &str) -> Option<Rule> {
    match number.strip_suffix('%') {
        Some(percent) => python_float::parse(percent).map(|percent| Rule::Share(percent / 100.0)),
        None => python_float::parse(number).map(Rule::Threshold),
    }
}

/// The remaining checks, in the original's order: the router is known, then the number is in 0..=1.
///
/// `shown` is the number as the caller wrote it, for the message.
pub fn validate<'a>(
    router: &str,
    names: impl IntoIterator<Item = &'a str>,
    rule: Rule,
    shown: impl FnOnce() -> String,
) -> Result<()> {
    let mut seen = Vec::new();
    let known = names.into_iter().any(|name| {
        seen.push(name);
        name == router
    });
    if !known {
        let list = seen.iter().map(|name| python_str(name)).collect::<Vec<_>>().join(", ");
        return Err(Error::new(Kind::Routing, format!("Invalid router {router}. Available routers are [{list}].")));
    }
    match rule {
        Rule::Threshold(threshold) if !(0.0..=1.0).contains(&threshold) => Err(Error::new(
            Kind::Routing,
            format!("Invalid threshold {}. Threshold must be a float between 0.0 and 1.0.", shown()),
        )),
        Rule::Share(share) if !(0.0..=1.0).contains(&share) => Err(Error::new(
            Kind::Routing,
            format!("Invalid share {}. A share of strong calls must be between 0% and 100%.", shown()),
        )),
        _ => Ok(()),
    }
}

/// A share as the model string writes it: `30%`.
pub fn percent(share: f64) -> String {
    // Rounded, so that 0.07 shows as 7 % and not as 7.000000000000001 %.
    format!("{}%", (share * 1e10).round() / 1e8)
}

/// A string as Python's `repr` writes it, for the names that occur here: quotes chosen as Python chooses them.
fn python_str(text: &str) -> String {
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
        parse(model, []).map_err(Error::from)
    }

    #[test]
    fn share_form() {
        let share = |model| parsed(model).map(|requested| requested.rule);
        assert_eq!(share("router-local-30%").ok(), Some(Rule::Share(0.3)));
        assert_eq!(share("router-local-12.5%").ok(), Some(Rule::Share(0.125)));
        assert!(share("router-local-%").is_err_and(|e| e.message() == "Threshold % must be a float."));
        assert!(
            validate("local", ["local"], Rule::Share(1.3), || percent(1.3))
                .is_err_and(|e| e.message().contains("130%"))
        );
        assert_eq!(percent(0.07), "7%");
    }

    #[test]
    fn names_with_hyphens_are_found_only_when_known() {
        let model = "router-my-own-0.5";
        assert!(parsed(model).is_err_and(|e| e.message() == "Threshold own-0.5 must be a float."));
        let requested = parse(model, ["my", "my-own"]).map_err(Error::from);
        assert_eq!(requested.map(|r| r.router).ok().as_deref(), Some("my-own"));
        // A string that means something today keeps its meaning: router `a`, threshold -0.5.
        let requested = parse("router-a--0.5", ["a-", "a"]).map_err(Error::from);
        assert_eq!(requested.map(|r| r.router).ok().as_deref(), Some("a"));
    }

    #[test]
    fn names_in_messages_are_pythons() {
        assert_eq!(python_str("it's"), "\"it's\"");
        assert_eq!(python_str("a\\b\n"), "'a\\\\b\\n'");
        assert_eq!(python_str("both ' and \""), "'both \\' and \"'");
    }
}
