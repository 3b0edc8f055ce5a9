//! Numbers: dot products for each processor, quantiles, intervals.

pub mod binomial;
pub mod dot;
mod lanes;
pub mod quantile;
pub mod rows;
pub(crate) mod threads;
