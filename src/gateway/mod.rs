//! The server: what callers send in one of three protocols becomes a decision, a call and an account.
//!
//! ```text
//! serve (sockets) -> app (paths) -> protocol (OpenAI, Anthropic, Responses -> OpenAI's shape) -> deciding (which model)
//!                 -> policy (may he, at what price) -> engine::call -> protocol (back to the caller's shape)
//! ```
//!
//! Everything a reload replaces is one [`Setup`], swapped as a whole. [`app`] is made without a socket, so that tests can call it.

mod admin;
mod admit;
pub mod app;
pub mod auth;
mod body;
mod chat;
pub mod config;
mod counting;
pub mod deciding;
mod decision;
mod embeddings;
pub mod event;
mod explain;
mod failure;
mod feedback;
#[doc(hidden)]
pub mod fuzz;
pub mod guard;
mod headers;
mod ids;
pub mod inside;
pub mod lanes;
pub mod limits;
mod models;
pub mod protocol;
mod ready;
mod reference;
mod refusing;
pub mod seeing;
pub mod serve;
pub mod setup;
mod shown;
mod stand;
pub mod state;
mod stream;
pub mod target;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
mod tests;
mod told;
pub mod ui;
mod wire;

pub use auth::Auth;
pub use guard::Guard;
pub use limits::Limits;
pub use setup::{Models, Setup};
pub use state::Gateway;
pub use target::Target;
