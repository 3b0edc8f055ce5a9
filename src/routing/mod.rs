//! From a win rate to a decision: the model string, the threshold, the share of traffic, the ladder of models. No socket
//! is opened here.
//!
//! Direction of the threshold, once and for all: the strong model answers when `win rate >= threshold`, so a higher
//! threshold means fewer strong calls.

pub mod decide;
pub mod explain;
pub mod filters;
pub mod ladder;
pub mod model_name;
pub mod python_float;
pub mod share;
pub mod sticky;
pub mod views;

pub use decide::{Choice, by_thresholds};
pub use ladder::Ladder;
pub use model_name::{Requested, Rule};
pub use share::ShareWindow;
