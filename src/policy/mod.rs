//! Who may ask for what, how often and for how much money. No HTTP here: a policy says yes, or no with a reason
//! ([`Error::denied`](crate::Error::denied)).
//!
//! A request passes them in this order:
//!
//! 1. its key is looked up ([`keys`]): the caller;
//! 2. names he may ask for, rates, tokens and concurrency ([`Policies::enter`]);
//! 3. once its model is chosen: allowed models, limits of models and share caps, which may move it to another rung
//!    ([`Policies::choose`]);
//! 4. the budgets, as the [`Purse`](crate::engine::purse::Purse) of the call.

mod allowed;
pub mod budget;
mod choice;
pub mod entry;
mod gate;
pub mod key;
pub mod keys;
pub mod lifetime;
pub mod notation;
mod policies;
mod rate;
pub mod rules;
mod rung;
pub mod secret;
mod share;

pub use budget::{Admitted, Bank, BudgetState, Budgets, Call, Refused};
pub use choice::Choice;
pub use key::{Caller, Key, Scope, Scopes};
pub use keys::Keys;
pub use policies::{CapState, LimitState, Pass, Policies};
pub use rules::{AtLimit, Rule, Who};
pub use rung::Rung;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
