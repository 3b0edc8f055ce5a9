//! Budgets: what a call may cost is set aside before it is sent, what it came to is entered at its end.
//!
//! - [`Bank`]: the money, which outlives a reload. `slot` is one budget in one period in memory; where the ledger is a
//!   database, that holds the limits for all processes together, and lends slices of them (`desk`, `lease`, `database`).
//! - [`Budgets`]: which budgets a call concerns, as the configuration declares them.
//! - `worst`: what a request may cost; `clamp`: the limit that its answer gets under a budget.
//! - `purse`: all that one call has set aside.
//!
//! Spent and set aside never pass a limit, and nobody is refused while what is left covers his own worst case. Only a
//! provider that bills more than its prices and the request's limit allow can pass one; that is entered all the same.

mod bank;
mod clamp;
mod database;
mod desk;
mod lease;
mod period;
mod purse;
mod refusal;
mod router;
mod slot;
mod worst;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, RwLock};

use rust_decimal::Decimal;

pub use bank::Bank;
pub(crate) use bank::limit_of;
pub use refusal::Refused;

use self::bank::Account;
use self::period::now;
use self::purse::Call as CallPurse;
use self::slot::{Slot, in_order};
use self::worst::Worst;
use super::key::Caller;
use super::rules::{AtLimit, Budget, Period, Rule, Who};
use crate::engine::plan::Plan;
use crate::engine::purse::Purse;
use crate::error::{Error, Result};
use crate::pricing::from_pico;
use crate::providers::demand::{self, Demand};
use crate::providers::{ChatRequest, Endpoint};

/// Another limit is tried this often, while others take what was left.
const TRIES: usize = 4;

/// The budgets that a configuration declares.
#[derive(Debug)]
pub struct Budgets {
    bank: Arc<Bank>,
    declared: Vec<Concern>,
    /// The smallest limit of all rules for the same.
    least: HashMap<(Who, Period), Budget>,
    /// Places in `declared`: of callers with this key, of this team, of everybody.
    keys: HashMap<String, Vec<usize>>,
    teams: HashMap<String, Vec<usize>>,
    all: Vec<usize>,
    /// Routers that have cost something, as they are asked for.
    paid: RwLock<HashSet<String>>,
}

/// A budget that a call concerns.
#[derive(Debug, Clone)]
struct Concern {
    account: Arc<Account>,
    at_limit: AtLimit,
    no_clamp: bool,
    /// The caller's own name for the chosen endpoint, which is another's.
    alias: Option<Arc<(String, String)>>,
}

/// A call that is to be paid for.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The model's name where it is configured.
    pub model: &'a str,
    /// Whom it may be sent to.
    pub plan: &'a Plan,
    /// What is asked for.
    pub request: &'a Arc<ChatRequest>,
    /// It asks for embeddings: there is no answer to be paid for.
    pub embeds: bool,
}

/// A call that is paid for as far as its first request goes.
#[derive(Debug)]
pub struct Admitted {
    /// The request, with a limit on its answer where a budget needs one.
    pub request: Arc<ChatRequest>,
    /// For [`Plan::purse`]; `None` where no budget counts. Dropped without a call, it gives everything back.
    pub purse: Option<Arc<dyn Purse>>,
    /// The limit that the answer was given, in tokens.
    pub clamp: Option<u64>,
}

/// How a budget stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetState {
    /// Whose it is.
    pub who: Who,
    /// How long it lasts.
    pub period: Period,
    /// US dollars.
    pub limit: Decimal,
    /// Spent in this period: by all replicas, as far as they have told.
    pub spent: Decimal,
    /// Set aside here for calls under way, and lent to other replicas.
    pub reserved: Decimal,
    /// What is left of it.
    pub left: Decimal,
    /// When it is renewed: seconds since 1970.
    pub ends: i64,
}

impl Concern {
    /// Whether a request to `endpoint` counts.
    fn is_about(&self, endpoint: &Endpoint) -> bool {
        let Some(model) = &self.account.who.model else { return true };
        let alias = self.alias.as_ref().filter(|alias| alias.1 == endpoint.name).map(|alias| &alias.0);
        [Some(&endpoint.name), endpoint.base_model.as_ref(), alias].into_iter().flatten().any(|name| name == model)
    }
}

/// The money of the budgets that a request to `endpoint` concerns.
fn slots_of(bank: &Bank, concerns: &[Concern], endpoint: &Endpoint) -> Arc<[Arc<Slot>]> {
    let now = now();
    let own = concerns.iter().filter(|concern| concern.is_about(endpoint));
    in_order(own.map(|concern| bank.current(&concern.account, now)).collect())
}

impl Budgets {
    /// The budgets among `rules`, with their money in `bank`.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) for a limit that cannot be, naming the rule's line.
    pub fn new(bank: Arc<Bank>, rules: &[Rule]) -> Result<Self> {
        let mut least: HashMap<(Who, Period), Budget> = HashMap::new();
        for rule in rules {
            let Some(budget) = rule.budget else { continue };
            bank::limit_of(&budget)
                .map_err(|error| if rule.line > 0 { error.context(format!("line {}", rule.line)) } else { error })?;
            let of = (rule.who.clone(), budget.period);
            least.entry(of).and_modify(|least| *least = smaller(*least, budget)).or_insert(budget);
        }
        let mut budgets = Self {
            bank,
            declared: Vec::new(),
            least,
            keys: HashMap::new(),
            teams: HashMap::new(),
            all: Vec::new(),
            paid: RwLock::default(),
        };
        for rule in rules {
            let Some(budget) = &rule.budget else { continue };
            let account = budgets.bank.account(&rule.who, &budgets.least(&rule.who, *budget))?;
            let at = budgets.declared.len();
            let (at_limit, no_clamp) = (rule.at_limit, rule.no_clamp);
            budgets.declared.push(Concern { account, at_limit, no_clamp, alias: None });
            match (&rule.who.key, &rule.who.team) {
                (Some(key), _) => budgets.keys.entry(key.clone()).or_default().push(at),
                (None, Some(team)) => budgets.teams.entry(team.clone()).or_default().push(at),
                (None, None) => budgets.all.push(at),
            }
        }
        Ok(budgets)
    }

    /// Sets aside what the first request of a call may cost in every budget it concerns, or in none.
    ///
    /// A request that does not say how long its answer may be is given a limit ([`Admitted::clamp`]). Nothing is waited for
    /// unless the database has to be asked.
    ///
    /// # Errors
    /// A no, with what is to happen then: `budget_exceeded` (429), `unpriced_model` (403), `output_limit_required` (400),
    /// `budget_unavailable` (503), and [`Kind::Value`](crate::Kind::Value) for a request that cannot be read.
    pub async fn admit(&self, call: Call<'_>) -> Result<Admitted, Refused> {
        let concerns = self.concerns(&call).map_err(refuse)?;
        let touched = |endpoint: &&Endpoint| concerns.iter().any(|concern| concern.is_about(endpoint));
        let Some(first) = call.plan.endpoints.iter().find(touched) else {
            return Ok(Admitted { request: Arc::clone(call.request), purse: None, clamp: None });
        };
        let demand = if call.embeds { of_embeddings(call.request) } else { Demand::of(call.request) };
        let demand = demand.map_err(refuse)?;
        let bank = Arc::clone(&self.bank);
        let mut purse = CallPurse { bank, concerns, demand, embeds: call.embeds, state: Mutex::default() };
        let sets = Sets { first, chosen: &call.plan.endpoints[0] };
        let clamp = if let (false, None) = (call.embeds, demand.output) {
            Some(self.clamped(&mut purse, &call, sets).await?)
        } else {
            self.begun(&purse, sets).await?;
            None
        };
        let request = match clamp {
            Some(limit) => Arc::new(demand::limited(call.request, limit).map_err(refuse)?),
            None => Arc::clone(call.request),
        };
        Ok(Admitted { request, purse: Some(Arc::new(purse)), clamp })
    }

    /// The limit that the answers get, with what they may cost set aside.
    async fn clamped(&self, purse: &mut CallPurse, call: &Call<'_>, sets: Sets<'_>) -> Result<u64, Refused> {
        let strict = purse.concerns.iter().find(|concern| concern.no_clamp && concern.is_about(sets.first));
        if let Some(strict) = strict {
            return Err(refuse(refusal::no_limit(&strict.account.who)));
        }
        let usual = clamp::usual(call.plan.ledger.as_deref(), &sets.first.name);
        let worst = Worst::of(sets.first, &purse.demand, purse.demand.answers).map_err(refuse)?;
        let mut before = u64::MAX;
        for _ in 0..TRIES {
            let slots = slots_of(&self.bank, &purse.concerns, sets.first);
            let limit = clamp::limit(&worst, usual, left(&slots)).min(before);
            purse.demand.output = Some(limit);
            match self.begun(purse, sets).await {
                Ok(()) => return Ok(limit),
                // Less was left than was thought: a shorter answer may still be paid for.
                Err(_) if clamp::limit(&worst, usual, left(&slots)) < limit => before = limit,
                Err(refused) => return Err(refused),
            }
        }
        self.begun(purse, sets).await.map(|()| before)
    }

    /// Sets aside what the first request may cost.
    async fn begun(&self, purse: &CallPurse, sets: Sets<'_>) -> Result<(), Refused> {
        let slots = slots_of(&self.bank, &purse.concerns, sets.chosen);
        if slots.is_empty() {
            return Ok(());
        }
        // What several requests side by side need beyond that is known when they are sent: a prompt for each.
        let needed = purse.needs(sets.chosen, 1, false).map_err(refuse)?;
        match purse.begin(&slots, needed).answer().await {
            Ok(aside) => {
                purse.keep(aside);
                Ok(())
            }
            Err(short) => {
                let (error, concern) = purse.refused(&short);
                Err(Refused { error, at_limit: concern.map_or(AtLimit::Refuse, |concern| concern.at_limit) })
            }
        }
    }

    /// Whether whoever keeps the budgets at the database is gone for good: nothing more can be paid for.
    pub fn has_ended(&self) -> bool {
        self.bank.has_ended()
    }

    /// How all declared budgets stand.
    pub fn state(&self) -> Vec<BudgetState> {
        let (now, mut seen) = (now(), HashSet::new());
        let once = self.declared.iter().filter(|concern| seen.insert(concern.account.order()));
        once.map(|concern| state(&self.bank, &concern.account, now)).collect()
    }

    /// The budget that holds where `budget` is one of those for `who`: the smallest.
    fn least(&self, who: &Who, budget: Budget) -> Budget {
        let declared = self.least.get(&(who.clone(), budget.period));
        declared.map_or(budget, |declared| smaller(*declared, budget))
    }

    /// The budgets that a call of this caller may concern.
    fn concerns(&self, call: &Call<'_>) -> Result<Vec<Concern>> {
        self.concerns_of(call.caller, call.model, &call.plan.endpoints[0].name)
    }

    /// The same for `model`, whose first endpoint is `name`.
    fn concerns_of(&self, caller: &Caller, model: &str, name: &str) -> Result<Vec<Concern>> {
        let (key, team) = (caller.key.as_deref(), caller.team());
        let of_key = |name: &str| self.keys.get(name).into_iter().flatten();
        let keyed =
            key.into_iter().flat_map(|key| of_key(&key.id).chain(of_key(&key.name).filter(|_| key.id != key.name)));
        let teamed = team.and_then(|team| self.teams.get(team)).into_iter().flatten();
        let fits =
            |concern: &&Concern| concern.account.who.team.is_none() || concern.account.who.team.as_deref() == team;
        let declared = keyed.chain(teamed).chain(&self.all).map(|at| &self.declared[*at]).filter(fits);
        let concerns = declared.map(|concern| {
            let alias = concern.account.who.model.is_some() && model != name;
            let alias = alias.then(|| Arc::new((model.to_owned(), name.to_owned())));
            Concern { alias, ..concern.clone() }
        });
        let mut concerns: Vec<Concern> = concerns.collect();
        if let Some((key, budget)) = key.and_then(|key| Some((key, key.budget?))) {
            let who = Who { key: Some(key.id.clone()), ..Who::default() };
            let (account, at_limit) = (self.bank.account(&who, &self.least(&who, budget))?, key.at_limit);
            // The configuration may have given it one for the same period: it is one account, with the smaller limit.
            if concerns.iter().all(|concern| concern.account.order() != account.order()) {
                concerns.push(Concern { account, at_limit, no_clamp: false, alias: None });
            }
        }
        Ok(concerns)
    }
}

/// Whose price counts: the first endpoint that a budget is about, and the one that is asked first.
#[derive(Clone, Copy)]
struct Sets<'a> {
    first: &'a Endpoint,
    chosen: &'a Endpoint,
}

/// What is left in the poorest of some budgets, as far as is known.
fn left(slots: &[Arc<Slot>]) -> i64 {
    let left = |slot: &Arc<Slot>| {
        let money = slot.money();
        money.idle().saturating_add(money.lease.left.max(0))
    };
    slots.iter().map(left).min().unwrap_or(i64::MAX)
}

fn smaller(one: Budget, other: Budget) -> Budget {
    if other.limit < one.limit { other } else { one }
}

fn state(bank: &Bank, account: &Account, now: i64) -> BudgetState {
    let slot = bank.current(account, now);
    let money = slot.money();
    let spent = money.all_spent();
    let reserved = money.reserved.saturating_add(money.lease.others.max(0));
    BudgetState {
        who: account.who.clone(),
        period: account.period,
        limit: from_pico(money.limit),
        spent: from_pico(spent),
        reserved: from_pico(reserved),
        left: from_pico(money.limit.saturating_sub(spent).saturating_sub(reserved).max(0)),
        ends: slot.span.1,
    }
}

/// That of a request for embeddings: its bytes, and the whole context where it holds more than texts.
fn of_embeddings(request: &ChatRequest) -> Result<Demand> {
    let refers = demand::embeds_more(request)?;
    Ok(Demand { input: request.bytes().len() as u64, refers, answers: 1, ..Demand::default() })
}

fn refuse(error: Error) -> Refused {
    Refused { error, at_limit: AtLimit::Refuse }
}
