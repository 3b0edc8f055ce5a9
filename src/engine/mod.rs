//! One request from beginning to end. The only place where a call and its money meet.

mod ask;
mod asking;
pub mod call;
pub mod classify;
mod document;
pub mod embed;
mod ending;
mod escalate;
mod estimate;
mod forecast;
mod health;
mod hedge;
mod latency;
mod many;
pub mod plan;
mod reading;
mod schemas;
pub mod serving;
mod settle;
mod signs;
mod source;
pub mod stream;
mod tally;
mod tries;
mod walk;
