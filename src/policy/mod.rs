//! Who may ask for what, how often and for how much money. No HTTP here: a policy says yes, or no with a reason
//! ([`Error::denied`](crate::Error::denied)).
//!
//! A request passes them in this order:
//!
//! 1. its key is looked up ([`key`]): the caller;
//! 2. rates, tokens and concurrency of the caller;
//! 3. once its model is chosen: allowed models and share caps, which may move it to another rung;
//! 4. the budgets, as the [`Purse`](crate::engine::purse::Purse) of the call.

pub mod key;
pub mod notation;
pub mod rules;

pub use key::{Caller, Key};
pub use rules::{AtLimit, Rule, Who};
