//! What calls cost. Money is decimal, and an unknown price is never zero.

pub mod scenario;
pub mod table;
mod usage;

pub use usage::{ServiceTier, Usage};
