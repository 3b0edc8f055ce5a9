//! Virtual keys: who is asking, and what he may.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::gate::Gate;
use super::rules::{AtLimit, Budget};
use crate::error::{Error, Result};

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Completions in every protocol, decisions, and the list of models.
    Chat,
    /// Embeddings.
    Embeddings,
    /// Scores of answers.
    Feedback,
    /// The figures for monitoring.
    Metrics,
    /// The page and its data.
    Ui,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Chat, Self::Embeddings, Self::Feedback, Self::Metrics, Self::Ui];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
            Self::Feedback => "feedback",
            Self::Metrics => "metrics",
            Self::Ui => "ui",
        }
    }
}

/// Several of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Of these.
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |all, scope| all | 1 << *scope as u8))
    }

    /// Those of these names.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) for another name, and for none at all.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut scopes = Vec::new();
        for name in names {
            let found = Scope::ALL.into_iter().find(|scope| scope.name() == name.trim());
            let all = Scope::ALL.map(Scope::name).join(", ");
            scopes.push(found.ok_or_else(|| Error::value(format!("scopes: expected some of {all}, found {name:?}")))?);
        }
        if scopes.is_empty() {
            return Err(Error::value("scopes: a key without any can do nothing"));
        }
        Ok(Self::of(&scopes))
    }

    /// Whether it is among them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }

    /// Their names.
    pub fn names(self) -> Vec<&'static str> {
        Scope::ALL.into_iter().filter(|scope| self.has(*scope)).map(Scope::name).collect()
    }
}

impl Default for Scopes {
    /// What programs need that ask models.
    fn default() -> Self {
        Self::of(&[Scope::Chat, Scope::Embeddings, Scope::Feedback])
    }
}

/// A virtual key, without its secret.
#[derive(Debug, Clone, Default)]
pub struct Key {
    /// Public id, which is fit for logs and metrics.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The team whose policies hold as well.
    pub team: Option<String>,
    /// What it may be used for.
    pub scopes: Scopes,
    /// From when on it is not valid, in microseconds since 1970.
    pub expires: Option<i64>,
    /// Money of its own.
    pub budget: Option<Budget>,
    /// What happens at a limit of its own.
    pub at_limit: AtLimit,
    /// Its own limits but for money.
    pub(super) gate: Option<Arc<Gate>>,
}

impl Key {
    /// Whether it has expired by now.
    pub fn is_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= now_us())
    }
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_named() {
        let scopes = Scopes::named(["chat", " metrics"]).unwrap();
        assert!(scopes.has(Scope::Chat) && scopes.has(Scope::Metrics) && !scopes.has(Scope::Ui));
        assert_eq!(scopes.names(), ["chat", "metrics"]);
        assert!(Scopes::named(["admin"]).unwrap_err().message().contains("expected some of chat, embeddings"));
        assert!(Scopes::named([]).is_err());
        assert!(!Scopes::default().has(Scope::Ui));
    }
}
