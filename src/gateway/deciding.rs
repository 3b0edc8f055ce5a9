//! From a `router-...` string and a request to the model that answers.
//!
//! The rules are those of [`crate::routing`], which the Python Controller uses as well; here is the order in which they are
//! asked. A router is either of the core ([`Router`]) or foreign ([`Elsewhere`]): then the whole decision is made by the
//! Controller, so that Python routers of the user's own work here as they do there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use rust_decimal::Decimal;

use super::setup::Target;
use crate::engine::plan::Routed;
use crate::error::{Error, Kind, Result};
use crate::providers::ChatRequest;
use crate::routing::model_name::{self, Known, Rule};
use crate::routing::{Ladder, ShareWindow};

/// What a caller says in the reserved object `ferroute`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// Kind of task.
    pub task: Option<String>,
    /// What tells conversations apart.
    pub session: Option<String>,
    /// Names and values.
    pub tags: Vec<(String, String)>,
}

/// What is decided on.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The model string, such as `router-mf-0.5`.
    pub model: String,
    /// The request in `OpenAI`'s shape, without the object `ferroute`.
    pub request: Arc<ChatRequest>,
    /// What was said beside it.
    pub extras: Extras,
}

/// A decision, with all that a call of it needs.
#[derive(Debug, Clone)]
pub struct Decided {
    /// Rung, 0 the weakest; `None` for a model on none, such as one asked for by name.
    pub rung: Option<usize>,
    /// The lowest and the highest rung that the router's word allows.
    pub limits: (Option<usize>, Option<usize>),
    /// Why each rung cannot serve the request; empty where all can.
    pub barred: Vec<Option<String>>,
    /// Name of the rung, with more than two models.
    pub tier: Option<String>,
    /// Router asked; `None` for a model asked for by name.
    pub router: Option<String>,
    /// Win rate of the strong model.
    pub win_rate: Option<f64>,
    /// Thresholds it was held against, one for each step.
    pub thresholds: Vec<f64>,
    /// Shares asked for, one for each step.
    pub shares: Vec<f64>,
    /// One sentence.
    pub reason: String,
    /// What else the caller should know.
    pub notes: Vec<String>,
    /// Fewer than 100 scores have been seen, in the share form.
    pub warmup: bool,
    /// Sent to the strong model by lot.
    pub holdout: bool,
    /// What choosing has cost, in US dollars; `None` is unpriced.
    pub router_cost: Option<Decimal>,
    /// How long it took.
    pub took: Duration,
    /// The text routed on.
    pub text: Option<Arc<str>>,
    /// Whom to ask.
    pub target: Arc<Target>,
    /// What the saving is measured against.
    pub baseline: Option<String>,
    /// The model string as it was asked for.
    pub requested: String,
}

impl Decided {
    /// A model that was asked for by its name.
    pub fn by_name(target: Arc<Target>, requested: String) -> Self {
        Self {
            rung: None,
            limits: (None, None),
            barred: Vec::new(),
            tier: None,
            router: None,
            win_rate: None,
            thresholds: Vec::new(),
            shares: Vec::new(),
            reason: "asked for by name".to_owned(),
            notes: Vec::new(),
            warmup: false,
            holdout: false,
            router_cost: Some(Decimal::ZERO),
            took: Duration::ZERO,
            text: None,
            target,
            baseline: None,
            requested,
        }
    }

    /// What the engine enters in the book of it.
    pub fn routed(&self, extras: &Extras) -> Routed {
        Routed {
            router: self.router.clone(),
            requested: Some(self.requested.clone()),
            tier: self.tier.clone(),
            win_rate: self.win_rate,
            threshold: match self.thresholds[..] {
                [one] => Some(one),
                _ => None,
            },
            session: extras.session.clone(),
            holdout: self.holdout,
            baseline: self.baseline.clone(),
            router_cost: self.router_cost,
            text: self.text.clone(),
            task: extras.task.clone(),
            ..Routed::default()
        }
    }
}

/// A router of the core's own.
pub trait Router: Send + Sync {
    /// The win rate of the strong model.
    fn win_rate<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Result<f64>>;

    /// Quantiles of its usual scores, which a share starts from.
    fn quantiles(&self) -> Vec<f64> {
        Vec::new()
    }
}

/// Where decisions are made that are not made here.
pub trait Elsewhere: Send + Sync {
    /// The whole decision.
    fn decide<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Result<Decided>>;
}

struct Loaded {
    name: String,
    router: Arc<dyn Router>,
    window: Mutex<ShareWindow>,
}

/// Decides between the models of a ladder.
pub struct Deciding {
    ladder: Ladder,
    targets: Vec<Arc<Target>>,
    routers: Vec<Loaded>,
    elsewhere: Option<Arc<dyn Elsewhere>>,
}

impl Deciding {
    /// Between the models of `ladder`, whose plans are `targets`, weakest first.
    pub fn new(
        ladder: Ladder,
        targets: Vec<Arc<Target>>,
        routers: Vec<(String, Arc<dyn Router>)>,
        elsewhere: Option<Arc<dyn Elsewhere>>,
    ) -> Self {
        let loaded = |(name, router): (String, Arc<dyn Router>)| {
            let window = Mutex::new(ShareWindow::new(router.quantiles()));
            Loaded { name, router, window }
        };
        Self { ladder, targets, routers: routers.into_iter().map(loaded).collect(), elsewhere }
    }

    /// The rungs.
    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// Names of the routers that may be asked.
    pub fn routers(&self) -> impl Iterator<Item = &str> {
        self.routers.iter().map(|loaded| loaded.name.as_str())
    }

    /// Their plans, weakest first.
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// Which model answers.
    ///
    /// # Errors
    /// [`Kind::Routing`] and [`Kind::Value`] with `RouteLLM`'s texts for a model string that means nothing.
    pub async fn decide(&self, asked: &Asked) -> Result<Decided> {
        let start = Instant::now();
        let known = Known { rungs: self.ladder.rungs(), ..Known::default() };
        let requested = model_name::parse(&asked.model, known).map_err(Error::from)?;
        let Some(loaded) = self.routers.iter().find(|loaded| loaded.name == requested.router) else {
            if let Some(elsewhere) = &self.elsewhere {
                return elsewhere.decide(asked).await;
            }
            return Err(Error::new(Kind::Routing, format!("Invalid router {}.", requested.router)));
        };
        let win_rate = loaded.router.win_rate(asked).await?;
        let mut window = loaded.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (choice, thresholds, shares) = match requested.rule {
            Rule::Threshold(cut) => (self.ladder.by_thresholds(win_rate, &[cut]), vec![cut], Vec::new()),
            Rule::Thresholds(cuts) => (self.ladder.by_thresholds(win_rate, &cuts), cuts, Vec::new()),
            Rule::Share(share) => {
                let rank = window.rank_of(win_rate, "");
                (self.ladder.by_shares(&window, win_rate, rank, &[share]), Vec::new(), vec![share])
            }
            Rule::Shares(shares) => {
                let rank = window.rank_of(win_rate, "");
                (self.ladder.by_shares(&window, win_rate, rank, &shares), Vec::new(), shares)
            }
            Rule::Open => return Err(Error::new(Kind::Routing, "a threshold is missing")),
        };
        window.push(win_rate);
        drop(window);
        Ok(Decided {
            rung: Some(choice.index),
            router: Some(requested.router),
            win_rate: Some(win_rate),
            thresholds,
            shares,
            reason: choice.reason,
            took: start.elapsed(),
            baseline: self.targets.last().map(|target| target.name.clone()),
            ..Decided::by_name(Arc::clone(&self.targets[choice.index]), asked.model.clone())
        })
    }
}

impl std::fmt::Debug for Deciding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deciding").field("ladder", &self.ladder).finish_non_exhaustive()
    }
}
