//! A complete answer: its usage, and whether it is an error after all.

use super::glance::{DEEPEST, Glance};
use super::{failures, mend};
use crate::error::{Error, Kind, Partial, Result};
use crate::providers::request::Reading;
use crate::providers::types::{Answer, Completion, Endpoint, Usage};

/// A complete answer and its usage.
///
/// # Errors
/// [`Kind::Protocol`] when it is not JSON or has no choice; [`Kind::Status`] when status 200 carries an error instead of choices.
pub fn read_answer(endpoint: &Endpoint, reading: &Reading, mut answer: Answer) -> Result<Completion> {
    let (usage, odd, counts, id) = {
        let glance = looked_at(endpoint, &answer)?;
        if !glance.answers() {
            let what = format!(
                "{} answered with a JSON object without a choice ({} bytes)",
                endpoint.host(),
                answer.body.len()
            );
            let error = Error::new(Kind::Protocol, what);
            // Tokens without an answer are on the bill all the same.
            return Err(match glance.usage(endpoint.provider) {
                Some(told) => {
                    let tokens = Some((told.prompt_tokens, told.completion_tokens));
                    error.lost().with_partial(Partial { tokens, ..Partial::default() })
                }
                None => error,
            });
        }
        let provider = endpoint.provider;
        (glance.usage(provider), glance.is_odd(reading), glance.odd_usage(provider), glance.id().map(Into::into))
    };
    if (odd || counts.is_some())
        && let Some(mended) = mend::answer(&answer.body, reading, counts)
    {
        answer.body = mended;
        // It says how long the body was.
        answer.headers.retain(|(name, _)| name != "content-length");
    }
    Ok(Completion { answer, usage, id })
}

/// The usage of an answer.
pub(in crate::providers) fn usage_of(endpoint: &Endpoint, answer: &Answer) -> Result<Option<Usage>> {
    Ok(looked_at(endpoint, answer)?.usage(endpoint.provider))
}

fn looked_at<'a>(endpoint: &Endpoint, answer: &'a Answer) -> Result<Glance<'a>> {
    let glance = Glance::at(&answer.body).ok_or_else(|| {
        let what = format!(
            "{} answered with something that is not a JSON object nested up to {DEEPEST} deep ({} bytes)",
            endpoint.host(),
            answer.body.len()
        );
        Error::new(Kind::Protocol, what)
    })?;
    match glance.failure() {
        Some(error) => Err(failures::told(endpoint, &error, &answer.headers, &answer.body)),
        None => Ok(glance),
    }
}
