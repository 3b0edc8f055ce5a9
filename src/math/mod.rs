//! Numbers: dot products for each processor.

pub mod dot;
