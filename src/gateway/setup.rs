//! Everything that a reload replaces at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::auth::Auth;
use super::deciding::Deciding;
use super::guard::Guard;
use super::limits::Limits;
use super::target::Target;
use crate::data::yaml::node::near;
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
    /// Names without their provider, and the models that they may mean.
    short: HashMap<String, Vec<String>>,
    open: Option<Open>,
}

impl Models {
    /// Of these models and aliases; of two with one name the first holds.
    pub fn new(targets: impl IntoIterator<Item = Arc<Target>>, aliases: Vec<(String, String)>) -> Self {
        let mut models = Self { aliases, ..Self::default() };
        for target in targets {
            if !models.named.contains_key(&target.name) {
                models.order.push(target.name.clone());
                if let Some((_, short)) = target.name.split_once('/') {
                    models.short.entry(short.to_owned()).or_default().push(target.name.clone());
                }
                models.named.insert(target.name.clone(), target);
            }
        }
        models
    }

    /// The same, and the names of rungs beside it, each for the model that stands there: unless a model or an alias has that
    /// name. Aliases may mean one.
    #[must_use]
    pub fn tiers<'a>(mut self, tiers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        for (tier, model) in tiers {
            if self.named.contains_key(tier) || self.aliases.iter().any(|(alias, _)| alias == tier) {
                continue;
            }
            for (_, meant) in self.aliases.iter_mut().filter(|(_, meant)| meant == tier) {
                model.clone_into(meant);
            }
            self.aliases.push((tier.to_owned(), model.to_owned()));
        }
        self
    }

    /// The same, and besides any model of a provider whose key is in the environment, called as `template` is.
    #[must_use]
    pub fn open(mut self, template: Plan) -> Self {
        self.open = Some(Open { template, made: Mutex::default() });
        self
    }

    /// What a name stands for, if it is an alias, or that of one model without its provider.
    pub fn meant<'a>(&'a self, name: &'a str) -> &'a str {
        let meant = self.aliases.iter().find(|(alias, _)| alias == name).map_or(name, |(_, meant)| meant);
        // Where any model may be asked for, such a name says itself which provider is meant.
        if self.open.is_some() || self.named.contains_key(meant) {
            return meant;
        }
        match self.short.get(meant).map(Vec::as_slice) {
            Some([only]) => only,
            _ => meant,
        }
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
                "The model `{}` does not exist here{} GET /v1/models lists those that do",
                short(name),
                self.near(&short(name))
            ))),
        }
    }

    /// What may have been meant by a name that there is not.
    fn near(&self, name: &str) -> String {
        let bare = name.split_once('/').map_or(name, |(_, bare)| bare);
        let known: Vec<&str> =
            self.order.iter().chain(self.aliases.iter().map(|(alias, _)| alias)).map(String::as_str).collect();
        // The right model of the wrong provider, or of none, is nearer than any letters are.
        let same = |known: &&&str| **known == bare || known.split_once('/').is_some_and(|(_, known)| known == bare);
        let mut meant: Vec<&str> = known.iter().filter(same).copied().collect();
        if meant.is_empty() {
            meant.extend(near(name, &known));
        }
        let meant: Vec<String> = meant.iter().map(|meant| format!("`{meant}`")).collect();
        if meant.is_empty() { ";".to_owned() } else { format!(": did you mean {}?", meant.join(" or ")) }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::engine::plan::Policy;

    fn models(names: &[&str], aliases: &[(&str, &str)]) -> Models {
        let asked = Asked { api_base: Some("http://127.0.0.1:9/v1".to_owned()), ..Asked::default() };
        let of = |name: &str| {
            // Who answers does not matter here.
            let endpoint = resolve("openai/any", &asked, &|_| Some("k".to_owned())).unwrap();
            Arc::new(Target::new(name.to_owned(), Plan::to(endpoint, Policy::default())))
        };
        let aliases = aliases.iter().map(|(alias, meant)| ((*alias).to_owned(), (*meant).to_owned()));
        Models::new(names.iter().map(|name| of(name)), aliases.collect())
    }

    #[test]
    fn a_rung_is_asked_for_by_its_name_unless_a_model_has_it() {
        let made = models(&["openai/small", "openai/big"], &[("fast", "cheap")]);
        let made = made.tiers([("cheap", "openai/small"), ("expensive", "openai/big")]);
        assert_eq!(
            ["cheap", "fast", "expensive"].map(|name| made.meant(name)),
            ["openai/small", "openai/small", "openai/big"]
        );
        let made = models(&["cheap", "openai/small"], &[]).tiers([("cheap", "openai/small")]);
        assert_eq!(made.meant("cheap"), "cheap");
    }

    #[test]
    fn a_name_needs_no_provider_where_it_means_one_model() {
        let made = models(&["openai/gpt-5.5", "openai/x", "groq/x", "house"], &[]);
        assert_eq!(["gpt-5.5", "x", "house"].map(|name| made.meant(name)), ["openai/gpt-5.5", "x", "house"]);
    }

    #[test]
    fn what_may_have_been_meant_is_said() {
        let made = models(&["openai/gpt-5.5", "openai/x", "groq/x", "house"], &[("fast", "house")]);
        let told = |name: &str| made.target(name).unwrap_err().message().to_owned();
        assert!(told("x").contains("did you mean `openai/x` or `groq/x`?"), "{}", told("x"));
        assert!(told("azure/gpt-5.5").contains("did you mean `openai/gpt-5.5`?"));
        assert!(told("fats").contains("did you mean `fast`?"));
        assert!(told("nothing-like-it").contains("does not exist here; GET /v1/models"));
    }
}
