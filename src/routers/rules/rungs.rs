//! Names of rungs in rules: which rung of a ladder they mean, and which of two is the higher one.

use crate::data::yaml::node::choices;
use crate::error::{Error, Result};

/// A name in a rule, and where it stands for errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// The name.
    pub name: String,
    /// File and line, or the way to it.
    pub place: String,
}

impl Rung {
    fn wrong(&self, what: &str) -> Error {
        Error::value(format!("{}: {what}", self.place))
    }
}

/// The place of a name on a ladder: the rung of that name, else cheap, mid and expensive by their position.
pub fn find(name: &str, ladder: &[String]) -> Option<usize> {
    let top = ladder.len().checked_sub(1)?;
    ladder.iter().position(|rung| rung == name).or(match name {
        "cheap" | "weak" => Some(0),
        "mid" => Some(top / 2),
        "expensive" | "strong" => Some(top),
        _ => None,
    })
}

/// The height of a name for comparisons; without a ladder only names that mean a rung everywhere have one.
pub fn height(name: &str, ladder: Option<&[String]>) -> Option<usize> {
    match (ladder, name) {
        (Some(ladder), name) => find(name, ladder),
        (None, "cheap" | "weak") => Some(0),
        (None, "mid") => Some(1),
        (None, "expensive" | "strong") => Some(2),
        (None, _) => None,
    }
}

/// Refuses a floor above its own ceiling, as far as both are known.
///
/// # Errors
/// `Kind::Value` at the floor's place.
pub fn in_order(floor: &Rung, ceiling: &Rung, ladder: Option<&[String]>) -> Result<()> {
    match (height(&floor.name, ladder), height(&ceiling.name, ladder)) {
        (Some(low), Some(high)) if low > high => {
            Err(floor.wrong(&format!("the floor '{}' lies above the ceiling '{}'", floor.name, ceiling.name)))
        }
        _ => Ok(()),
    }
}

/// Refuses a name that means no rung of the ladder.
///
/// # Errors
/// `Kind::Value` at the name's place.
pub fn check<'a>(rungs: impl Iterator<Item = &'a Rung>, ladder: &[String]) -> Result<()> {
    for rung in rungs {
        if find(&rung.name, ladder).is_none() {
            let known: Vec<&str> = ladder.iter().map(String::as_str).collect();
            return Err(rung.wrong(&format!(
                "no rung is called '{}'{}; a model is named by `model`",
                rung.name,
                choices(&rung.name, &known)
            )));
        }
    }
    Ok(())
}
