//! What callers may do to the server, in bytes and time.

use std::time::Duration;

/// Limits that hold for every request, whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, in bytes.
    pub max_body: usize,
    /// How long a body may take to come.
    pub body_timeout: Duration,
    /// How long the head of a request may take to come, from its first byte.
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a caller may take nothing of his answer.
    pub write_timeout: Duration,
    /// Connections at the same time; more wait until one ends.
    pub max_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: 20 << 20,
            body_timeout: Duration::from_mins(1),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_mins(1),
            max_connections: 1024,
        }
    }
}
