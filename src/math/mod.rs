//! Numbers: dot products for each processor, similarities, quantiles, intervals, ratings.

pub mod binomial;
pub mod dot;
mod lanes;
pub mod newton;
pub(crate) mod powers;
pub mod quantile;
pub mod rows;
pub mod similarity;
pub(crate) mod threads;
