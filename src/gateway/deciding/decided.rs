//! What a decision says of itself, until the account of its call.

use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;

use super::asked::Extras;
use crate::engine::plan::Routed;
use crate::gateway::target::Target;
use crate::routers::verdict::Verdict;

/// A decision, with all that a call of it needs.
#[derive(Debug, Clone)]
pub struct Decided {
    /// Rung, 0 the weakest; `None` for a model on none, such as one asked for by name.
    pub rung: Option<usize>,
    /// The rung that was the router's word, before anything moved it.
    pub wanted: Option<usize>,
    /// The lowest and the highest rung that the router's word allows.
    pub limits: (Option<usize>, Option<usize>),
    /// Why each rung cannot serve the request; empty where all can.
    pub barred: Vec<Option<String>>,
    /// Name of the rung, with more than two models.
    pub tier: Option<String>,
    /// Router asked; `None` for a model asked for by name.
    pub router: Option<String>,
    /// All routers that were asked, each by the one before it; empty where there is but the one.
    pub path: Vec<String>,
    /// Win rate of the strong model.
    pub win_rate: Option<f64>,
    /// Thresholds it was held against, one for each step.
    pub thresholds: Vec<f64>,
    /// Shares asked for, one for each step.
    pub shares: Vec<f64>,
    /// Where the win rate ranks among the router's recent ones, in the share form.
    pub rank: Option<f64>,
    /// What routers have said that name a rung, in the order they were asked in.
    pub verdicts: Vec<Verdict>,
    /// The router that has failed first, and how, where something else was done instead.
    pub failed: Option<String>,
    /// Why the conversation stays on its model.
    pub stay: Option<String>,
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
            wanted: None,
            limits: (None, None),
            barred: Vec::new(),
            tier: None,
            router: None,
            path: Vec::new(),
            win_rate: None,
            thresholds: Vec::new(),
            shares: Vec::new(),
            rank: None,
            verdicts: Vec::new(),
            failed: None,
            stay: None,
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

    /// The one threshold that the win rate was held against; `None` where there was none, or one for each step.
    pub fn threshold(&self) -> Option<f64> {
        match self.thresholds[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    /// What the engine enters in the book of it.
    pub fn routed(&self, extras: &Extras) -> Routed {
        Routed {
            router: self.router.clone(),
            requested: Some(self.requested.clone()),
            tier: self.tier.clone(),
            win_rate: self.win_rate,
            threshold: self.threshold(),
            session: extras.session.clone(),
            holdout: self.holdout,
            baseline: self.baseline.clone(),
            router_cost: self.router_cost,
            text: self.text.clone(),
            task: extras.task.clone(),
            tags: extras.tags_json(),
            ..Routed::default()
        }
    }
}
