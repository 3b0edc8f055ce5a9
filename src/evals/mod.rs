//! How good a router is: what its win rates buy on prompts whose outcomes under both models are known.
//!
//! [`curve`] routes every prompt at each threshold, [`metrics`] turns the points into `RouteLLM`'s figures with
//! [`interp`], numpy's interpolation as it is, and [`bootstrap`] says how far chance moves them. Nothing here knows a
//! benchmark: rows are numbers.

pub mod bootstrap;
pub mod curve;
pub mod interp;
pub mod metrics;
pub mod optimum;
