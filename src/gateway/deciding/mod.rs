//! From a `router-...` string and a request to the model that answers.
//!
//! The rules are those of [`crate::routing`], which the Python Controller uses as well; here is the order in which they are
//! asked. A router is either of the core ([`Router`]) or foreign ([`Elsewhere`]): then the whole decision is made by the
//! Controller, so that Python routers of the user's own work here as they do there.
//!
//! ```text
//! grammar (which router, which threshold) -> filters -> walk (its word, and those it leaves the choice to)
//!     -> settle (floor, ceiling, barred rungs, the conversation's seat) -> lot (holdout) -> Decided
//! ```

mod asked;
mod decided;
mod grammar;
mod parts;
mod router;
mod settle;
#[cfg(test)]
mod tests;
mod told;
mod walk;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use asked::{Asked, Extras};
pub use decided::Decided;
pub use parts::{Beyond, Loaded, Manner, Named, OnError, Parts};
pub use router::{Broken, Elsewhere, Fixed, Lot, Remarks, Router, Said, Table, Word};

use self::grammar::Grammar;
use super::target::Target;
use crate::engine::serving::{Call, Rung, Serving};
use crate::error::{Error, Kind, Result, Spent};
use crate::ledger::{Asked as AskedAgain, Outcome, Record};
use crate::pricing::{self, Usage};
use crate::routing::filters::Needs;
use crate::routing::sticky::Session;
use crate::routing::{Ladder, ShareWindow};
use crate::text::view::View;

/// What the ledger calls the model where none was chosen.
const NO_MODEL: &str = "(none)";

/// Decides between the models of a ladder. Usable from any thread.
pub struct Deciding {
    parts: Parts,
    grammar: Grammar,
    /// For each router whether its decisions are made elsewhere: its own, or one that it may leave the choice to.
    elsewhere: Vec<bool>,
}

impl Deciding {
    /// Between the models of `ladder`, whose plans are `targets`, weakest first. Nothing is known against any model, and no
    /// conversation stays where it is: see [`of`](Self::of) for those.
    pub fn new(
        ladder: Ladder,
        targets: Vec<Arc<Target>>,
        routers: Vec<(String, Arc<dyn Router>)>,
        elsewhere: Option<Arc<dyn Elsewhere>>,
    ) -> Self {
        let rungs = ladder.models().iter().map(|model| Rung { model: model.clone(), asked: None });
        let serving = Arc::new(Serving::new(rungs.collect(), false));
        let loaded = |(name, router): (String, Arc<dyn Router>)| {
            let window = Arc::new(Mutex::new(ShareWindow::new(router.quantiles())));
            Loaded { window, ..Loaded::new(name, Some(router)) }
        };
        let baseline = targets.last().map(|target| target.name.clone());
        let routers = routers.into_iter().map(loaded).collect();
        Self::of(Parts {
            ladder,
            targets,
            serving,
            sessions: Arc::default(),
            routers,
            beyond: Vec::new(),
            manner: Manner::default(),
            baseline,
            elsewhere,
            all_elsewhere: false,
        })
    }

    /// Of parts that the Python Controller shares.
    pub fn of(parts: Parts) -> Self {
        let elsewhere = parts.all_that_go_elsewhere();
        Self { grammar: Grammar::of(&parts.routers), elsewhere, parts }
    }

    /// The rungs.
    pub fn ladder(&self) -> &Ladder {
        &self.parts.ladder
    }

    /// Their plans, weakest first.
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.parts.targets
    }

    /// Names of the routers, in the order they were loaded in.
    pub fn routers(&self) -> impl Iterator<Item = &str> {
        self.parts.routers.iter().map(|loaded| loaded.name.as_str())
    }

    /// Whether a router's decisions are made by the Controller; `None` where there is no such router.
    pub fn goes_elsewhere(&self, router: &str) -> Option<bool> {
        let at = self.routers().position(|name| name == router)?;
        Some(self.elsewhere[at])
    }

    /// The router that `model` asks, where it is a string that may be asked.
    pub fn understood(&self, model: &str) -> Option<&str> {
        let read = self.grammar.read(model, &self.parts.ladder).ok()?;
        self.parts.routers.get(read.router).map(|loaded| loaded.name.as_str())
    }

    /// Which model answers. It counts as the decision of a completion: its score enters the router's window, the lot is
    /// drawn, and the conversation is remembered.
    ///
    /// # Errors
    /// [`Kind::Routing`] and [`Kind::Value`] with `RouteLLM`'s texts for a model string that means nothing, [`Kind::Routing`]
    /// where no model can serve the request; and what a router has failed with, which the caller cannot help.
    pub async fn decide(&self, asked: &Asked) -> Result<Decided> {
        let start = Instant::now();
        if self.parts.all_elsewhere {
            return self.elsewhere(asked).await;
        }
        let requested = self.grammar.read(&asked.model, &self.parts.ladder)?;
        if requested.held || self.elsewhere[requested.router] {
            return self.elsewhere(asked).await;
        }
        let view = asked.view(self.parts.manner.view, self.parts.manner.join)?;
        let remarks = Remarks::default();
        let decided = async {
            // Streams have times of their own; without a limit nobody asks.
            let stream = self.parts.manner.limit.is_some() && asked.streams();
            let call = Call { limit: self.parts.manner.limit, stream, ..Call::default() };
            let found = self.parts.serving.check(&Needs::of(&view), &call);
            let walk = walk::Walk { deciding: self, view: &view, remarks: &remarks, found, call, failed: None };
            let (spoken, found, call) = walk.spoken(requested).await?;
            self.settled(spoken, found, &call, &view, &remarks)
        };
        let decided = decided.await.map_err(|error| {
            self.paid_in_vain(&error, asked, &view, &remarks);
            match remarks.paid().flatten() {
                // Budgets pay for it as well.
                Some(_) if error.spent().is_some() => error,
                Some(cost) => error.with_spent(Spent { router_cost: Some(cost), ..Spent::default() }),
                None => error,
            }
        })?;
        let mut decided = self.drawn(decided);
        if self.parts.manner.sticky && !decided.holdout {
            self.remember(&view, decided.rung);
        }
        decided.requested.clone_from(&asked.model);
        decided.text = Some(view.text().into());
        decided.took = start.elapsed();
        Ok(decided)
    }

    async fn elsewhere(&self, asked: &Asked) -> Result<Decided> {
        match &self.parts.elsewhere {
            Some(elsewhere) => elsewhere.decide(asked).await,
            None => Err(Error::new(
                Kind::Unsupported,
                "this router's decisions are made by a Controller, and there is none",
            )),
        }
    }

    /// The decision for a call that goes by lot to the strongest model allowed, if it was drawn and that can serve it.
    fn drawn(&self, decided: Decided) -> Decided {
        let share = self.parts.manner.holdout;
        if share <= 0.0 || Lot::drawn() >= share {
            return decided;
        }
        let (floor, ceiling) = decided.limits;
        // A ceiling may be more than a matter of money. Where it contradicts a floor, that counts.
        let top = self.parts.ladder.rungs() - 1;
        let top = ceiling.map_or(top, |ceiling| top.min(ceiling.max(floor.unwrap_or(0))));
        if decided.barred.get(top).is_some_and(Option::is_some) {
            return decided;
        }
        let side = self.parts.ladder.side(top);
        let reason = format!("held out: sent to {side} by lot; the router's word was: {}", decided.reason);
        Decided { reason, holdout: true, ..self.on_rung(decided, top) }
    }

    /// The same decision for another rung, where a policy moves it there: `why` follows the reason. The conversation is
    /// remembered on the new rung.
    #[must_use]
    pub fn moved(&self, decided: Decided, rung: usize, why: &str, asked: &Asked) -> Decided {
        if self.parts.manner.sticky
            && let Ok(view) = asked.view(self.parts.manner.view, self.parts.manner.join)
        {
            self.remember(&view, Some(rung));
        }
        let reason = format!("{}; {why}: moved to {}", decided.reason, self.parts.ladder.side(rung));
        Decided { reason, ..self.on_rung(decided, rung) }
    }

    fn on_rung(&self, decided: Decided, rung: usize) -> Decided {
        let tier = (!self.parts.ladder.is_pair()).then(|| self.parts.ladder.names()[rung].clone());
        Decided { rung: Some(rung), tier, target: Arc::clone(&self.parts.targets[rung]), ..decided }
    }

    fn remember(&self, view: &View, rung: Option<usize>) {
        let Some(session) = Session::of(view) else { return };
        let models: Vec<&str> = self.parts.serving.rungs().iter().map(|rung| rung.model.as_str()).collect();
        // Every method leaves the sessions whole, so a poisoned lock holds nothing half done.
        let mut sessions = self.parts.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        match rung {
            Some(rung) => sessions.remember(session, rung, &models, view.prompt_tokens(), Instant::now()),
            None => sessions.forget(session),
        }
    }

    /// Enters what was paid for a choice that has failed, of which no call will tell.
    fn paid_in_vain(&self, error: &Error, asked: &Asked, view: &View, remarks: &Remarks) {
        let Some(cost) = remarks.paid() else { return };
        let Some(book) = self.parts.targets.first().and_then(|target| target.plan.ledger.as_ref()) else { return };
        let requested = self.grammar.read(&asked.model, &self.parts.ladder).ok();
        book.add(Record {
            ts_us: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_micros() as i64),
            key: None,
            session: asked.extras.session.clone(),
            router: requested.map(|requested| self.parts.routers[requested.router].name.clone()),
            requested: Some(asked.model.clone()),
            model: NO_MODEL.to_owned(),
            tier: None,
            win_rate: None,
            threshold: None,
            holdout: false,
            usage: Usage::default(),
            estimated: false,
            cost: Some(0),
            router_cost: cost.and_then(pricing::pico),
            baseline: Some(0),
            ttft_us: None,
            total_us: 0,
            outcome: Outcome::Failed,
            error: Some(format!("{:?}", error.kind())),
            attempts: 0,
            text: Some(view.text().into()),
            price_version: pricing::Table::shared().version().to_owned(),
            task: asked.extras.task.clone(),
            tags: asked.extras.tags_json(),
            signs: None,
            asked: AskedAgain::default(),
            response: None,
        });
    }
}

impl std::fmt::Debug for Deciding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deciding").field("ladder", &self.parts.ladder).finish_non_exhaustive()
    }
}
