//! Everything that a reload replaces at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::auth::Auth;
use super::deciding::Deciding;
use super::guard::Guard;
use super::limits::Limits;
use super::target::Target;
use crate::engine::plan::{Climb, Plan};
use crate::error::{Denied, Error, Result};
use crate::ledger::Ledger;
use crate::policy::{Budgets, Policies};
use crate::providers::{Asked, resolve};

/// Names nobody has configured, kept so that they are looked up once. Callers choose them, so there is an end to it.
const MOST_OPEN: usize = 256;

/// The models that may be asked for by name.
#[derive(Debug, Default)]
pub struct Models {
    named: HashMap<String, Arc<Target>>,
    /// The names in the order in which they were given, for lists of them.
    order: Vec<String>,
    /// Another name for a model or for a `router-...` string.
    aliases: Vec<(String, String)>,
    open: Option<Open>,
}

impl Models {
    /// Of these models and aliases; of two with one name the first holds.
    pub fn new(targets: impl IntoIterator<Item = Arc<Target>>, aliases: Vec<(String, String)>) -> Self {
        let mut models = Self { aliases, ..Self::default() };
        for target in targets {
            if !models.named.contains_key(&target.name) {
                models.order.push(target.name.clone());
                models.named.insert(target.name.clone(), target);
            }
        }
        models
    }

    /// The same, and besides any model of a provider whose key is in the environment, called as `template` is.
    #[must_use]
    pub fn open(mut self, template: Plan) -> Self {
        self.open = Some(Open { template, made: Mutex::default() });
        self
    }

    /// What a name stands for, if it is an alias.
    pub fn meant<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.iter().find(|(alias, _)| alias == name).map_or(name, |(_, meant)| meant)
    }

    /// The model of that name, where it is configured.
    pub fn find(&self, name: &str) -> Option<&Arc<Target>> {
        self.named.get(name)
    }

    /// The model of that name.
    ///
    /// # Errors
    /// [`Kind::Denied`](crate::Kind::Denied) with 404 where there is none.
    pub fn target(&self, name: &str) -> Result<Arc<Target>> {
        if let Some(target) = self.named.get(name) {
            return Ok(Arc::clone(target));
        }
        match &self.open {
            Some(open) => open.target(name),
            None => Err(no_model(format!(
                "The model `{}` does not exist here; GET /v1/models lists those that do",
                short(name)
            ))),
        }
    }

    /// The configured models, in their order.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.order.iter().filter_map(|name| self.named.get(name))
    }

    /// Other names and what they stand for.
    pub fn aliases(&self) -> &[(String, String)] {
        &self.aliases
    }
}

/// Models that are found by their names when somebody asks for them.
#[derive(Debug)]
struct Open {
    template: Plan,
    made: Mutex<HashMap<String, Arc<Target>>>,
}

impl Open {
    fn target(&self, name: &str) -> Result<Arc<Target>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = made.get(name) {
            return Ok(Arc::clone(target));
        }
        let endpoint = resolve(name, &Asked::default(), &|variable| std::env::var(variable).ok()).map_err(|error| {
            no_model(format!("The model `{}` does not exist here: {}", short(name), error.message()))
        })?;
        let plan = Plan { endpoints: [endpoint].into(), climb: Arc::new(Climb::default()), ..self.template.clone() };
        let target = Arc::new(Target::new(name.to_owned(), plan));
        if made.len() >= MOST_OPEN {
            made.clear();
        }
        made.insert(name.to_owned(), Arc::clone(&target));
        Ok(target)
    }
}

fn no_model(message: String) -> Error {
    Error::denied(Denied { status: 404, code: "model_not_found", retry_after: None }, message)
}

/// A name as a message may show it.
fn short(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(100).collect()
}

/// What the server serves with; never changed, only replaced.
pub struct Setup {
    /// Which model answers.
    pub deciding: Deciding,
    /// Models that are asked for by name.
    pub models: Models,
    /// What holds for every request.
    pub server: Limits,
    /// Whether keys are asked for, and which are valid.
    pub auth: Auth,
    /// Under which names it is reached, and by whose pages.
    pub guard: Guard,
    /// What callers may.
    pub policies: Policies,
    /// What they may spend; `None` where nobody counts.
    pub budgets: Option<Budgets>,
}

impl Setup {
    /// For whoever comes, without keys, limits and budgets.
    pub fn plain(deciding: Deciding, models: Models) -> Self {
        Self {
            deciding,
            models,
            server: Limits::default(),
            auth: Auth::default(),
            guard: Guard::default(),
            policies: Policies::default(),
            budgets: None,
        }
    }

    /// Goes on where another setup stands: what was spent of limits that stay is not forgotten.
    pub fn inherit(&mut self, before: &Self) {
        self.auth.inherit(&before.auth);
        self.policies.inherit(&before.policies);
    }

    /// The book of its calls, which is one for all models.
    pub fn ledger(&self) -> Option<Arc<Ledger>> {
        self.deciding.targets().first()?.plan.ledger.clone()
    }
}
