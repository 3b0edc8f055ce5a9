//! The one error of the core: what went wrong, which HTTP status says so, and whether trying again can help.
//!
//! Messages say what was expected and what was found. They never hold a key, a header or a URL with a query.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rust_decimal::Decimal;

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
    /// A policy does not allow it ([`Error::denied`]): a key, a limit, a budget.
    Denied,
    /// A router has failed, often one of the user's own; whoever asked cannot help it.
    Foreign,
}

/// Why a policy says no, for whoever has to tell the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// HTTP status: 401, 403, 413, 429 ...
    pub status: u16,
    /// A word for programs, such as `budget_exceeded`.
    pub code: &'static str,
    /// When it may be tried again, where that is known.
    pub retry_after: Option<Duration>,
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

/// What had arrived of a stream when it broke.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partial {
    /// The text of the first choice so far.
    pub text: String,
    /// Tokens so far, `(prompt, completion)`.
    pub tokens: Option<(u64, u64)>,
    /// The tokens are our estimate, since the provider had not told its count.
    pub estimated: bool,
}

/// What a call that failed for good came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spent {
    /// Requests sent, to all endpoints.
    pub attempts: u32,
    /// US dollars that may be on the bill; `None` is unpriced.
    pub cost: Option<Decimal>,
    /// What choosing the model cost.
    pub router_cost: Option<Decimal>,
    /// Saving against the baseline: a loss, or nothing.
    pub saved: Option<Decimal>,
    /// What the caller should know.
    pub notes: Vec<String>,
}

/// How often a failure is worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// As kind and status say.
    Usual,
    /// One more time: status 200 with a body that is none, or with an error inside.
    Once,
    /// Not at all, whatever kind and status say.
    Never,
}

#[derive(Clone)]
struct Inner {
    kind: Kind,
    message: String,
    answer: Option<Answer>,
    again: Again,
    /// The request was received, but its answer was lost on the way: it may be on the bill.
    lost: bool,
    /// Address that was called, without its query.
    url: Option<Box<str>>,
    partial: Option<Box<Partial>>,
    spent: Option<Box<Spent>>,
    raised: Option<Arc<dyn Any + Send + Sync>>,
}

impl Inner {
    fn new(kind: Kind, message: String, answer: Option<Answer>) -> Self {
        let (url, partial, spent, raised) = (None, None, None, None);
        Self { kind, message, answer, again: Again::Usual, lost: false, url, partial, spent, raised }
    }
}

impl Error {
    /// An error of the given kind; the message is shown to the user as it is.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner::new(kind, message.into(), None)))
    }

    /// Shorthand for the most frequent kind.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new(Kind::Value, message)
    }

    /// A provider's error answer.
    pub fn status(message: impl Into<String>, answer: Answer) -> Self {
        Self(Arc::new(Inner::new(Kind::Status, message.into(), Some(answer))))
    }

    /// A policy's no; it is not tried again.
    pub fn denied(denied: Denied, message: impl Into<String>) -> Self {
        Self::new(Kind::Denied, message).with_raised(denied).settled()
    }

    /// Why a policy has said no, for [`Kind::Denied`].
    pub fn why_denied(&self) -> Option<&Denied> {
        self.raised()
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
    pub fn settled(self) -> Self {
        self.worth(Again::Never)
    }

    /// The same error, to be tried again so often.
    #[must_use]
    pub fn worth(mut self, again: Again) -> Self {
        Arc::make_mut(&mut self.0).again = again;
        self
    }

    /// How often it is worth another try.
    pub fn again(&self) -> Again {
        self.0.again
    }

    /// The same error of a request whose answer was lost, so that it may be on the bill.
    #[must_use]
    pub fn lost(mut self) -> Self {
        Arc::make_mut(&mut self.0).lost = true;
        self
    }

    /// Whether the request may be on the bill although it failed.
    pub fn is_lost(&self) -> bool {
        self.0.lost
    }

    /// The same error of a call to this address, which has no query; an address it already has is kept.
    #[must_use]
    pub fn at(mut self, url: impl FnOnce() -> String) -> Self {
        if self.0.url.is_none() {
            Arc::make_mut(&mut self.0).url = Some(url().into_boxed_str());
        }
        self
    }

    /// The address that was called, without its query, where the error is of a call.
    pub fn url(&self) -> Option<&str> {
        self.0.url.as_deref()
    }

    /// The same error of a stream of which this much had arrived.
    #[must_use]
    pub fn with_partial(mut self, partial: Partial) -> Self {
        Arc::make_mut(&mut self.0).partial = Some(Box::new(partial));
        self
    }

    /// What had arrived of the stream that broke.
    pub fn partial(&self) -> Option<&Partial> {
        self.0.partial.as_deref()
    }

    /// The same error of a call that came to this.
    #[must_use]
    pub fn with_spent(mut self, spent: Spent) -> Self {
        Arc::make_mut(&mut self.0).spent = Some(Box::new(spent));
        self
    }

    /// What the call came to that failed.
    pub fn spent(&self) -> Option<&Spent> {
        self.0.spent.as_deref()
    }

    /// The same error, which is to reach the caller as this: what his own code has thrown.
    #[must_use]
    pub fn with_raised(mut self, raised: impl Any + Send + Sync) -> Self {
        Arc::make_mut(&mut self.0).raised = Some(Arc::new(raised));
        self
    }

    /// What the caller's own code has thrown, of the given type.
    pub fn raised<T: Any>(&self) -> Option<&T> {
        self.0.raised.as_ref()?.downcast_ref()
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
            Kind::Denied => self.why_denied().map_or(403, |denied| denied.status),
            Kind::Missing | Kind::Io | Kind::Checkpoint | Kind::Foreign => 500,
        }
    }

    /// Whether the same request may succeed when sent again, as kind, status and `x-should-retry` say: a list of yeses,
    /// all else is no. What the body says is left to [`failures`](crate::providers::failures).
    pub fn is_retryable(&self) -> bool {
        self.0.again != Again::Never && self.is_yes()
    }

    /// The same, whatever [`Again`] says.
    pub(crate) fn is_yes(&self) -> bool {
        match (self.0.kind, &self.0.answer) {
            (Kind::Connection | Kind::Timeout, _) => true,
            (Kind::Status, Some(answer)) => {
                let said =
                    answer.headers.iter().find(|(name, _)| name == "x-should-retry").map(|(_, value)| value.trim());
                match said {
                    Some("true") => true,
                    Some("false") => false,
                    _ => {
                        matches!(answer.status, 408 | 409 | 425 | 429 | 498 | 500 | 502..=504 | 520..=524 | 529)
                    }
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
        let yes = [408, 409, 425, 429, 498, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529];
        for code in 300..600 {
            assert_eq!(status(code, None), yes.contains(&code), "{code}");
            assert!(status(code, Some("true")), "{code} with x-should-retry: true");
            assert!(!status(code, Some("false")), "{code} with x-should-retry: false");
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
