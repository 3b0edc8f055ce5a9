//! What a model string asks: which router, and with which threshold. The rules are those of [`model_name`].

use super::parts::Loaded;
use crate::error::{Error, Kind, Result};
use crate::routing::model_name::{self, Known, Requested, Rule};
use crate::routing::{Ladder, python_float};

/// A model string that is understood and allowed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Read {
    /// The router's place.
    pub(super) router: usize,
    /// What is asked of it.
    pub(super) rule: Rule,
    /// No threshold is given, and somebody holds one.
    pub(super) held: bool,
}

/// The names that model strings may speak of.
pub(super) struct Grammar {
    names: Vec<String>,
    hyphenated: Vec<String>,
    /// May stand alone, since they name a rung or somebody holds their threshold.
    alone: Vec<String>,
    naming: Vec<bool>,
    held: Vec<bool>,
}

impl Grammar {
    pub(super) fn of(routers: &[Loaded]) -> Self {
        let names = |which: &dyn Fn(&Loaded) -> bool| {
            routers.iter().filter(|loaded| which(loaded)).map(|loaded| loaded.name.clone()).collect()
        };
        Self {
            names: names(&|_| true),
            hyphenated: names(&|loaded| loaded.name.contains('-')),
            alone: names(&|loaded| loaded.naming || loaded.held),
            naming: routers.iter().map(|loaded| loaded.naming).collect(),
            held: routers.iter().map(|loaded| loaded.held).collect(),
        }
    }

    /// What `model` asks.
    ///
    /// # Errors
    /// [`Kind::Value`] and [`Kind::Routing`], with `RouteLLM`'s texts.
    pub(super) fn read(&self, model: &str, ladder: &Ladder) -> Result<Read> {
        let Requested { router, rule } = self.parse(model, ladder)?;
        let at = self.names.iter().position(|name| *name == router);
        let held = rule == Rule::Open && at.is_some_and(|at| self.held[at]);
        if !held {
            self.validate(&router, &rule, ladder)?;
        }
        match at {
            Some(router) => Ok(Read { router, rule, held }),
            // The check above has said so, unless there is no router at all.
            None => Err(Error::new(Kind::Routing, format!("Invalid router {router}. Available routers are []."))),
        }
    }

    /// The string taken apart; nothing is checked.
    pub(super) fn parse(&self, model: &str, ladder: &Ladder) -> Result<Requested> {
        let known = Known { hyphenated: &self.hyphenated, naming: &self.alone, rungs: ladder.rungs() };
        Ok(model_name::parse(model, known)?)
    }

    /// Whether a router may be asked so.
    pub(super) fn validate(&self, router: &str, rule: &Rule, ladder: &Ladder) -> Result<()> {
        if *rule == Rule::Open {
            let at = self.names.iter().position(|name| name == router);
            if at.is_some_and(|at| self.naming[at]) {
                return Ok(());
            }
            return Err(Error::new(Kind::Routing, "Router or threshold unspecified."));
        }
        let shown = || match rule {
            Rule::Share(share) => model_name::percent(*share),
            Rule::Threshold(threshold) => python_float::repr(*threshold),
            _ => String::new(),
        };
        model_name::validate(router, self.names.iter().map(String::as_str), rule, ladder.names(), shown)
    }

    pub(super) fn names_rung(&self, router: usize) -> bool {
        self.naming[router]
    }
}
