//! An answer that has begun, from whichever client, and what can break it.

use std::error::Error as _;
use std::io;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use reqwest::header::HeaderMap;

/// An answer whose body is still to come.
pub enum Response {
    /// From [`Plain`](super::plain::Plain).
    Plain(http::Response<Incoming>),
    /// From `reqwest`.
    Any(Box<reqwest::Response>),
}

impl Response {
    /// The HTTP status.
    pub fn status(&self) -> http::StatusCode {
        match self {
            Self::Plain(response) => response.status(),
            Self::Any(response) => response.status(),
        }
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        match self {
            Self::Plain(response) => response.headers(),
            Self::Any(response) => response.headers(),
        }
    }

    /// The next piece of the body; `None` at its end. Nothing is lost when the future is dropped.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let response = match self {
            Self::Any(response) => return Ok(response.chunk().await?),
            Self::Plain(response) => response,
        };
        while let Some(frame) = response.body_mut().frame().await {
            if let Ok(piece) = frame?.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

/// Why there is no answer, or no whole one.
#[derive(Debug)]
pub(super) struct Fault {
    /// No connection could be made: nothing was sent.
    pub connect: bool,
    /// No request could be made of what was to be sent.
    pub builder: bool,
    /// A time was over.
    pub timeout: bool,
    /// The innermost reason, which is the one that helps ("Connection refused"), without any URL.
    pub why: String,
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        let (connect, builder, timeout) = (error.is_connect(), error.is_builder(), error.is_timeout());
        Self { connect, builder, timeout, why: innermost(&error.without_url()) }
    }
}

impl From<legacy::Error> for Fault {
    fn from(error: legacy::Error) -> Self {
        Self { connect: error.is_connect(), builder: false, timeout: is_timeout(&error), why: innermost(&error) }
    }
}

impl From<hyper::Error> for Fault {
    fn from(error: hyper::Error) -> Self {
        Self { connect: false, builder: false, timeout: error.is_timeout(), why: innermost(&error) }
    }
}

fn is_timeout(error: &legacy::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}
