//! Numbers: dot products for each processor, similarities, quantiles, intervals, ratings, days.

pub mod betting;
pub mod binomial;
pub mod bounds;
pub(crate) mod calendar;
pub mod dot;
pub mod eigen;
mod lanes;
pub mod newton;
pub(crate) mod powers;
pub mod quantile;
pub mod rows;
pub mod similarity;
pub(crate) mod threads;
pub(crate) mod waiting;

/// Makes every choice that depends on the processor now.
///
/// A process that forks while another thread makes one leaves the child waiting for that thread for ever, so the Python
/// module does this when it is imported.
#[cfg(feature = "python")]
pub(crate) fn settle() {
    std::sync::LazyLock::force(&lanes::BEST);
    similarity::settle();
    powers::settle();
    threads::settle();
}
