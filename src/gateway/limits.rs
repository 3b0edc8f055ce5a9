//! What callers may do to the server, in bytes and time.

use std::time::Duration;

/// Limits that hold for every request, whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, in bytes.
    pub max_body: usize,
    /// How long a body may take to come.
    pub body_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_body: 20 << 20, body_timeout: Duration::from_mins(1) }
    }
}
