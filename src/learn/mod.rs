//! Learning: training of the matrix factorisation from battles between models; routers from outcomes (`fit`); thresholds
//! with a proof (`guarantee`); and what is learned while serving, from audits: how much of the traffic may be weak
//! (`ramp`), whether it is still the same (`drift`), which of two is better (`ab`).

pub mod ab;
mod adam;
mod baseline;
pub mod battles;
pub mod drift;
pub mod fit;
pub mod guarantee;
pub mod mf;
mod noise;
mod product;
pub mod ramp;

/// Called now and then with the number of steps that were done since; an error ends the work.
pub type Watch<'a> = &'a mut dyn FnMut(usize) -> crate::Result<()>;
