//! Everything that a reload replaces at once.

use std::collections::HashMap;
use std::sync::Arc;

use super::deciding::Deciding;
use crate::engine::plan::Plan;

/// A model that can be called: its plan but for what is decided before a call.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name, as the ledger and the caller know it.
    pub name: String,
    /// Endpoints, policy and ledger of its calls.
    pub plan: Plan,
}

/// The models that may be asked for by name.
#[derive(Debug, Clone, Default)]
pub struct Models {
    named: HashMap<String, Arc<Target>>,
    /// Another name for a model or for a `router-...` string.
    aliases: HashMap<String, String>,
}

impl Models {
    /// Of these models and aliases.
    pub fn new(targets: impl IntoIterator<Item = Arc<Target>>, aliases: HashMap<String, String>) -> Self {
        Self { named: targets.into_iter().map(|target| (target.name.clone(), target)).collect(), aliases }
    }

    /// What a name stands for, if it is an alias.
    pub fn meant<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.get(name).map_or(name, String::as_str)
    }

    /// The model of that name.
    pub fn find(&self, name: &str) -> Option<&Arc<Target>> {
        self.named.get(name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }
}

/// What the server serves with; never changed, only replaced.
pub struct Setup {
    /// Which model answers.
    pub deciding: Deciding,
    /// Models that are asked for by name.
    pub models: Models,
}
