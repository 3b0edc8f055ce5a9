//! Training: the matrix factorisation from battles between models; routers from outcomes.

mod adam;
mod baseline;
pub mod battles;
pub mod guarantee;
pub mod fit;
pub mod mf;
mod noise;
mod product;
