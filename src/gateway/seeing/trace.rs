//! Where a request stands in a trace: the `traceparent` header of W3C Trace Context, taken in and handed on.
//!
//! The ids of our spans follow from the request's id, so the header for the provider can be made before the call and the
//! spans after it, with nothing to carry in between.

use std::fmt::Write as _;

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// A request's place in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The trace's id: the caller's, or one of our own.
    pub trace: u128,
    /// The caller's span.
    pub parent: Option<u64>,
    /// The span of the whole request.
    pub request: u64,
    /// The span of choosing a model.
    pub decision: u64,
    /// The span of the call.
    pub call: u64,
    /// Whether the caller has this trace recorded; `None` where he says nothing.
    pub recorded: Option<bool>,
}

impl Context {
    /// The place of the request with this id, which came with this header. A header that is none is as good as none.
    pub fn of(id: &str, traceparent: Option<&str>) -> Self {
        let given = traceparent.and_then(parsed);
        let own = |seed| xxh3_64_with_seed(id.as_bytes(), seed).max(1);
        Self {
            trace: given.map_or_else(|| xxh3_128(id.as_bytes()).max(1), |(trace, _, _)| trace),
            parent: given.map(|(_, parent, _)| parent),
            request: own(1),
            decision: own(2),
            call: own(3),
            recorded: given.map(|(_, _, recorded)| recorded),
        }
    }

    /// Whether it is one of the given part of all traces. A caller who says so himself has the last word; every server
    /// that sees this trace and has the same share comes to the same answer.
    pub fn is_sampled(&self, share: f64) -> bool {
        self.recorded.unwrap_or_else(|| ((self.trace as u64) >> 11) as f64 / (1_u64 << 53) as f64 <= share)
    }

    /// The header for who is called.
    pub fn header(&self, sampled: bool) -> String {
        let mut text = String::with_capacity(55);
        let flags = u8::from(sampled);
        let _ = write!(text, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.call);
        text
    }
}

/// Trace, span, and whether it is recorded.
fn parsed(header: &str) -> Option<(u128, u64, bool)> {
    let mut parts = header.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let version = hex(version, 2)?;
    // Version 00 has four parts; later ones may have more, of which nothing is known.
    if version == 0xff || (version == 0 && parts.next().is_some()) {
        return None;
    }
    let (trace, span) = (hex(trace, 32)?, hex(span, 16)? as u64);
    (trace != 0 && span != 0).then_some((trace, span, hex(flags, 2)? & 1 == 1))
}

/// So many lower-case digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_goes_on_through_us() {
        let context = Context::of("req-1", Some(HEADER));
        assert_eq!(context.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.parent, Some(0x00f0_67aa_0ba9_02b7));
        assert_eq!(context.recorded, Some(true));
        let onward = Context::of("elsewhere", Some(&context.header(true)));
        assert_eq!((onward.trace, onward.parent, onward.recorded), (context.trace, Some(context.call), Some(true)));
        let ids = [context.request, context.decision, context.call];
        assert!(ids.iter().enumerate().all(|(at, id)| *id != 0 && !ids[..at].contains(id)));
        assert_eq!(context, Context::of("req-1", Some(HEADER)));
    }

    #[test]
    fn a_header_that_is_none_begins_a_trace() {
        let wrong = [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ];
        let own = Context::of("req-1", None);
        assert!(own.trace != 0 && own.parent.is_none() && own.recorded.is_none());
        for header in wrong {
            assert_eq!(Context::of("req-1", Some(header)), own, "{header}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more";
        assert_eq!(Context::of("req-1", Some(later)).recorded, Some(false));
    }

    #[test]
    fn a_share_of_traces_is_sampled_and_the_caller_has_the_last_word() {
        let sampled = (0..10_000).filter(|id| Context::of(&format!("req-{id}"), None).is_sampled(0.1)).count();
        assert!((900..1100).contains(&sampled), "{sampled}");
        assert!(Context::of("a", Some(HEADER)).is_sampled(0.0));
        assert!(!Context::of("a", Some(&HEADER.replace("-01", "-00"))).is_sampled(1.0));
        assert!(Context::of("a", None).is_sampled(1.0));
    }
}
