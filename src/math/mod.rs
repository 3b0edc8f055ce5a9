//! Numbers: dot products for each processor, ratings.

pub mod dot;
mod lanes;
pub mod newton;
pub(crate) mod powers;
pub mod rows;
pub mod similarity;
pub(crate) mod threads;
