//! Numbers: dot products for each processor.

pub mod dot;
mod lanes;
pub mod rows;
pub(crate) mod threads;
