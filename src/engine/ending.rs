//! How far an answer has come, when it is over or is given up.

use tokio::time::Instant;

use super::signs::Verdict;
use crate::providers::Usage;

/// How far an answer has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    /// Which endpoint answers.
    pub endpoint: usize,
    /// Requests that the answer is made of; none where there is no answer.
    pub requests: u32,
    /// Tokens told, one for each request at most.
    pub usages: Vec<Usage>,
    /// The tokens told are the final ones.
    pub complete: bool,
    /// Characters received.
    pub made_chars: usize,
    pub first_content: Option<Instant>,
    /// The provider's id of it, under which its caller knows it.
    pub id: Option<Box<str>>,
    /// The signs of failure it shows.
    pub verdict: Verdict,
}
