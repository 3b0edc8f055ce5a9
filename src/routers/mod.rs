//! Routers: one kind a file. A router turns a prompt, or its embedding, into a win rate in 0..=1, or names a rung
//! ([`verdict::Verdict`]).

pub mod bert;
pub mod causal;
pub mod classifier;
pub mod fitted;
pub mod local;
pub mod mf;
pub mod rules;
pub mod semantic;
pub mod sw_ranking;
pub mod task;
pub mod verdict;
