//! The one error of the core: what went wrong, which HTTP status says so, and whether trying again can help.
//!
//! Messages say what was expected and what was found. They never hold a key, a header or a URL with a query.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Shorthand used throughout the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong; the Python face has one exception class for each group a caller would catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A value outside what was expected (Python: also a `ValueError`).
    Value,
    /// A value of the wrong type (also a `TypeError`).
    Type,
    /// A name that is not in a table (also a `KeyError`).
    Name,
    /// A file or folder that is not there (also a `FileNotFoundError`).
    Missing,
    /// A file that could not be read or written (also an `OSError`).
    Io,
    /// A checkpoint or table whose content does not fit (also a `ValueError`).
    Checkpoint,
    /// Something that does not exist in this version (also a `NotImplementedError`).
    Unsupported,
    /// A routing request that cannot be followed: `RoutingError`, with `RouteLLM`'s texts.
    Routing,
    /// No connection, or it broke before an answer came (`openai.APIConnectionError`).
    Connection,
    /// The time allowed for a call has passed (`openai.APITimeoutError`).
    Timeout,
    /// The provider answered with an error status (`openai.APIStatusError` and its subclasses).
    Status,
    /// The provider answered with something that is not of the protocol, or a stream was cut.
    Protocol,
    /// The caller closed the stream or dropped the call.
    Cancelled,
}

/// A provider's answer, as received, without anything that was sent.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Response headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, unchanged.
    pub body: Bytes,
}

/// The crate's error. One pointer wide, so `Result`s stay small; clones share what they hold.
#[derive(Clone, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    message: String,
    answer: Option<Answer>,
    /// Not to be tried again, whatever the status says.
    settled: bool,
}

impl Error {
    /// An error of the given kind; the message is shown to the user as it is.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), answer: None, settled: false }))
    }

    /// Shorthand for the most frequent kind.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new(Kind::Value, message)
    }

    /// A provider's error answer.
    pub fn status(message: impl Into<String>, answer: Answer) -> Self {
        let answer = Some(answer);
        Self(Arc::new(Inner { kind: Kind::Status, message: message.into(), answer, settled: false }))
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The provider's answer, for [`Kind::Status`].
    pub fn answer(&self) -> Option<&Answer> {
        self.0.answer.as_ref()
    }

    /// The same error with `before` put in front of its message ("while reading X: ...").
    #[must_use]
    pub fn context(self, before: impl fmt::Display) -> Self {
        self.map_message(|message| format!("{before}: {message}"))
    }

    /// The same error with another message, made of its own.
    #[must_use]
    pub fn map_message(mut self, change: impl FnOnce(&str) -> String) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.message = change(&inner.message);
        self
    }

    /// The same error, never to be tried again.
    #[must_use]
    pub fn settled(mut self) -> Self {
        Arc::make_mut(&mut self.0).settled = true;
        self
    }

    /// The HTTP status a server should answer with.
    pub fn http_status(&self) -> u16 {
        match self.0.kind {
            Kind::Value | Kind::Type | Kind::Name | Kind::Routing => 400,
            Kind::Status => self.0.answer.as_ref().map_or(502, |answer| answer.status),
            Kind::Connection | Kind::Protocol => 502,
            Kind::Timeout => 504,
            Kind::Unsupported => 501,
            Kind::Cancelled => 499,
            Kind::Missing | Kind::Io | Kind::Checkpoint => 500,
        }
    }

    /// Whether the same request may succeed when sent again: the `openai` client's list of yeses, all else is no.
    pub fn is_retryable(&self) -> bool {
        if self.0.settled {
            return false;
        }
        match (self.0.kind, &self.0.answer) {
            (Kind::Connection | Kind::Timeout, _) => true,
            (Kind::Status, Some(answer)) => {
                match answer.headers.iter().find(|(name, _)| name == "x-should-retry").map(|(_, value)| value.as_str())
                {
                    Some("true") => true,
                    Some("false") => false,
                    _ => matches!(answer.status, 408 | 409 | 429 | 500..=599),
                }
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn retry_is_a_list_of_yeses() {
        let status = |status, header: Option<&str>| {
            let headers = header.map(|value| ("x-should-retry".to_owned(), value.to_owned())).into_iter().collect();
            Error::status("", Answer { status, headers, body: Bytes::new() }).is_retryable()
        };
        for code in [408, 409, 429, 500, 503, 529] {
            assert!(status(code, None), "{code}");
            assert!(!status(code, Some("false")), "{code} with x-should-retry: false");
        }
        for code in [400, 401, 403, 404, 413, 422] {
            assert!(!status(code, None), "{code}");
            assert!(status(code, Some("true")), "{code} with x-should-retry: true");
        }
        assert!(Error::new(Kind::Timeout, "").is_retryable());
        assert!(!Error::new(Kind::Protocol, "").is_retryable());
        assert!(!Error::new(Kind::Timeout, "").settled().is_retryable());
    }

    #[test]
    fn a_clone_keeps_its_own_message() {
        let answer = Answer { status: 429, headers: Vec::new(), body: Bytes::new() };
        let first = Error::status("slow down", answer);
        let second = first.clone().context("while embedding");
        assert_eq!((first.message(), second.message()), ("slow down", "while embedding: slow down"));
        assert_eq!(second.map_message(str::to_uppercase).answer().map(|answer| answer.status), Some(429));
    }
}
