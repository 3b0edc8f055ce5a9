//! Virtual keys: who is asking.

use std::sync::Arc;

use super::rules::{AtLimit, Budget};

/// A virtual key, without its secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key {
    /// Public id, which is fit for logs and metrics.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The team whose policies hold as well.
    pub team: Option<String>,
    /// Money of its own.
    pub budget: Option<Budget>,
    /// What happens at its limits.
    pub at_limit: AtLimit,
}

/// Who is asking.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The key that was shown; `None` where none is asked for.
    pub key: Option<Arc<Key>>,
}

impl Caller {
    /// The team, where there is one.
    pub fn team(&self) -> Option<&str> {
        self.key.as_ref()?.team.as_deref()
    }
}
