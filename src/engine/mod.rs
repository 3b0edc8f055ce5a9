//! One request from beginning to end. The only place where a call and its money meet.

pub mod call;
pub mod embed;
mod estimate;
mod health;
mod hedge;
mod latency;
mod many;
pub mod plan;
mod settle;
pub mod stream;
