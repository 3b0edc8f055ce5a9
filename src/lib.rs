//! ferroute sends each prompt to the cheapest language model that is good enough.
//!
//! The rooms, and the one direction in which they may know each other:
//!
//! ```text
//! error <- math, text, data <- neural, pricing <- routers <- routing <- learn, evals   (pure: no socket here)
//!       <- providers | ledger                                  (HTTP, one dialect a file; the book of calls)
//!       <- engine                                              (where a call and its money meet)
//!       <- policy <- gateway                                   (who may spend what; the server)
//!       <- py                                                  (feature `python`: one-line methods)
//! ```
//!
//! `docs/architecture.md` shows them with the walk of one request.

pub mod data;
pub mod engine;
pub mod error;
pub mod evals;
pub mod gateway;
pub mod learn;
pub mod ledger;
pub mod math;
pub mod neural;
pub mod policy;
pub mod pricing;
pub mod process;
pub mod providers;
pub mod routers;
pub mod routing;
pub mod text;

#[cfg(feature = "python")]
mod py;

pub use error::{Error, Kind, Result};
