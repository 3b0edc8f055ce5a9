//! Training: the matrix factorisation from battles between models.

mod adam;
mod baseline;
pub mod battles;
pub mod guarantee;
pub mod mf;
mod noise;
mod product;
