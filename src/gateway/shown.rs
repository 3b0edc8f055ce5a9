//! Our ids of the last requests, and the ids that the book has of their answers.
//!
//! A caller may say something of an answer by the id of his request. The book knows only the provider's id.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// So many requests are remembered.
const REMEMBERED: usize = 20_000;

/// An answer as the book finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    /// Its provider's id.
    pub(super) response: Box<str>,
    /// It began by then, microseconds since 1970: some servers give the same id again.
    pub(super) by: i64,
}

/// The last requests that were answered.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    answers: HashMap<Box<str>, Answered>,
    order: VecDeque<Box<str>>,
}

impl Shown {
    /// The request was answered just now.
    pub(super) fn keep(&self, request: &str, response: &str) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let by = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.answers.insert(request.into(), Answered { response: response.into(), by }).is_some() {
            return;
        }
        last.order.push_back(request.into());
        if last.order.len() > REMEMBERED
            && let Some(oldest) = last.order.pop_front()
        {
            last.answers.remove(&oldest);
        }
    }

    /// The answer to a request.
    pub(super) fn find(&self, request: &str) -> Option<Answered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).answers.get(request).cloned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_last_requests_are_remembered() {
        let shown = Shown::default();
        (0..=REMEMBERED).for_each(|n| shown.keep(&format!("req_{n}"), &format!("c{n}")));
        assert!(shown.find("req_0").is_none() && shown.find("c1").is_none());
        assert_eq!(&*shown.find("req_1").unwrap().response, "c1");
        let last = shown.0.lock().unwrap();
        assert_eq!((last.answers.len(), last.order.len()), (REMEMBERED, REMEMBERED));
    }
}
