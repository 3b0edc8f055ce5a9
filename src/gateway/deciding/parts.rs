//! What a [`Deciding`](super::Deciding) is made of.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::router::{Elsewhere, Router, Table};
use crate::engine::serving::Serving;
use crate::gateway::target::Target;
use crate::routing::sticky::Sessions;
use crate::routing::views::Part;
use crate::routing::{Ladder, ShareWindow};

/// Everything that decisions are made with. Windows, sessions and what is known of models may be shared with a Controller.
pub struct Parts {
    /// The rungs.
    pub ladder: Ladder,
    /// Their plans, weakest first.
    pub targets: Vec<Arc<Target>>,
    /// Which of them can serve a request.
    pub serving: Arc<Serving>,
    /// Which conversation is on which rung.
    pub sessions: Arc<Mutex<Sessions>>,
    /// The routers, in the order they were loaded in.
    pub routers: Vec<Loaded>,
    /// Models that are on no rung and may be named by a router.
    pub beyond: Vec<Beyond>,
    /// How decisions are made.
    pub manner: Manner,
    /// What the saving is measured against.
    pub baseline: Option<String>,
    /// Who decides for routers that are not of the core.
    pub elsewhere: Option<Arc<dyn Elsewhere>>,
    /// Whether it decides for all of them.
    pub all_elsewhere: bool,
}

/// A router under its name.
pub struct Loaded {
    /// Its name in model strings.
    pub name: String,
    /// The router; `None` where it is not of the core.
    pub router: Option<Arc<dyn Router>>,
    /// Its last scores.
    pub window: Arc<Mutex<ShareWindow>>,
    /// Its calibration.
    pub table: Option<Arc<dyn Table>>,
    /// It names a rung, so that it needs no threshold.
    pub naming: bool,
    /// It may name a model beyond the ladder.
    pub names_models: bool,
    /// Somebody holds its threshold, so that its name alone is a model string.
    pub held: bool,
    /// Names of the routers that it may leave the choice to.
    pub asks: Vec<String>,
    /// Models that it names, and what they are.
    pub models: Vec<(String, Named)>,
}

/// What a model is that a router names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// That of a rung.
    Rung(usize),
    /// A place in [`Parts::beyond`].
    Beyond(usize),
}

/// A model that is on no rung.
pub struct Beyond {
    /// Its plan.
    pub target: Arc<Target>,
    /// Whether it can serve a request.
    pub serving: Arc<Serving>,
}

/// How decisions are made.
#[derive(Debug, Clone, PartialEq)]
pub struct Manner {
    /// What of a conversation is routed on.
    pub view: Part,
    /// Whether a last turn that only goes on is scored with the turns it follows.
    pub join: bool,
    /// What an answer may take.
    pub limit: Option<Duration>,
    /// Whether a conversation stays on its model where going elsewhere does not pay.
    pub sticky: bool,
    /// Share of the decisions that go to the strong model by lot.
    pub holdout: f64,
    /// What happens where a router fails.
    pub on_error: OnError,
}

impl Default for Manner {
    fn default() -> Self {
        Self { view: Part::Last, join: false, limit: None, sticky: false, holdout: 0.0, on_error: OnError::Raise }
    }
}

/// What happens where a router fails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OnError {
    /// The request fails.
    #[default]
    Raise,
    /// It goes to this rung.
    Rung(usize),
    /// This router is asked.
    Router(String),
}

impl Loaded {
    /// A router that gives win rates, with an empty window.
    pub fn new(name: String, router: Option<Arc<dyn Router>>) -> Self {
        Self {
            name,
            router,
            window: Arc::default(),
            table: None,
            naming: false,
            names_models: false,
            held: false,
            asks: Vec::new(),
            models: Vec::new(),
        }
    }
}

impl Parts {
    /// The place of a router.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.routers.iter().position(|loaded| loaded.name == name)
    }

    /// For each router whether it, or one that it may lead to, is not of the core. A decision is made in one place: half of
    /// it could not be handed over.
    pub(super) fn all_that_go_elsewhere(&self) -> Vec<bool> {
        let mut elsewhere: Vec<bool> = self.routers.iter().map(|loaded| loaded.router.is_none()).collect();
        let instead = match &self.manner.on_error {
            OnError::Router(name) => self.place(name),
            _ => None,
        };
        // As often as there are routers is enough: each round reaches one more.
        for _ in 0..self.routers.len() {
            for (at, loaded) in self.routers.iter().enumerate() {
                let next = loaded.asks.iter().map(|name| self.place(name)).chain(instead.map(Some));
                // One that is not there may be anything.
                let mut next = next;
                let leads = next.any(|next| next.is_none_or(|next| elsewhere[next]));
                elsewhere[at] |= leads;
            }
        }
        elsewhere
    }
}
