//! Several answers to one request from a model that gives one at a time: as many requests, side by side, merged.
//!
//! Each has its own tries. Tokens are those of all requests, since the prompt is paid for each time.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::future::{select_all, try_join_all};
use serde_json::{Map, Value};

use super::ask::{Ask, Place};
use super::source::Source;
use super::tries::tries;
use crate::error::{Error, Kind, Result};
use crate::providers::{Answer, Chunk, Usage};

/// More requests than this are not sent for one call.
const MOST: u32 = 128;

/// Sends the request `times` times at once; when one fails for good, the others are given up.
pub(super) async fn side_by_side<A: Ask>(asker: &A, place: &Place<'_>, times: u32) -> Result<A::Done> {
    if times > MOST {
        return Err(Error::value(format!("`n` must be at most {MOST} for `{}`, found {times}", place.endpoint().name)));
    }
    // All of them or none: those that were sent would be paid for in vain.
    if let Some(pledge) = place.pay(times).await? {
        // Nobody has set it before: a place is asked once.
        _ = place.side.set(pledge);
        place.paid.store(times, Ordering::Relaxed);
    }
    let parts = (0..times).map(|_| async {
        let done = tries(asker, place).await?;
        Ok::<_, Error>(Paid { place, usage: A::usage(&done), done: Some(done) })
    });
    let parts: Vec<Paid<'_, '_, A>> = try_join_all(parts).await?;
    asker.merge(place, parts.into_iter().filter_map(Paid::take).collect())
}

/// An answer that is paid for, also when it is thrown away because another one failed.
struct Paid<'a, 'b, A: Ask> {
    place: &'a Place<'b>,
    usage: Option<Usage>,
    done: Option<A::Done>,
}

impl<A: Ask> Paid<'_, '_, A> {
    fn take(mut self) -> Option<A::Done> {
        self.done.take()
    }
}

impl<A: Ask> Drop for Paid<'_, '_, A> {
    fn drop(&mut self) {
        if self.done.is_some() {
            if A::STREAM || self.usage.is_none() {
                // What a stream has said of its tokens before its end is not the last word.
                self.place.tally.untold();
            }
            self.place.tally.lost(self.place.index, self.usage);
        }
    }
}

/// Answers of one choice each as one answer: choices numbered anew, tokens added up, all else from the first.
pub(super) fn merged(answers: Vec<Answer>) -> Result<Answer> {
    let mut whole: Option<(Answer, Map<String, Value>)> = None;
    let mut choices = Vec::new();
    let mut usage = Some(Value::Null);
    for answer in answers {
        let Ok(Value::Object(mut body)) = serde_json::from_slice(&answer.body) else {
            return Err(Error::new(Kind::Protocol, "an answer is not a JSON object"));
        };
        if let Some(Value::Array(found)) = body.get_mut("choices").map(Value::take) {
            for mut choice in found {
                if let Some(choice) = choice.as_object_mut() {
                    choice.insert("index".to_owned(), choices.len().into());
                }
                choices.push(choice);
            }
        }
        usage = match (usage, body.get_mut("usage").map(Value::take)) {
            (Some(sum), Some(more)) if more.is_object() => Some(added(sum, more)),
            _ => None,
        };
        whole.get_or_insert((answer, body));
    }
    let Some((mut answer, mut body)) = whole else { return Err(Error::new(Kind::Protocol, "no answer to merge")) };
    body.insert("choices".to_owned(), choices.into());
    match usage {
        Some(usage) => drop(body.insert("usage".to_owned(), usage)),
        None => drop(body.remove("usage")),
    }
    answer.body = written(&Value::Object(body))?;
    // They tell of the first answer's bytes.
    answer.headers.retain(|(name, _)| !matches!(name.as_str(), "content-length" | "content-encoding"));
    Ok(answer)
}

fn written(value: &Value) -> Result<Bytes> {
    let text = serde_json::to_vec(value).map_err(|e| Error::new(Kind::Protocol, format!("an answer: {e}")))?;
    Ok(text.into())
}

/// Two usages as one: numbers added, objects member by member, anything else from the first that has it.
fn added(sum: Value, more: Value) -> Value {
    match (sum, more) {
        (Value::Null, more) => more,
        (Value::Object(mut sum), Value::Object(more)) => {
            for (name, value) in more {
                let before = sum.get_mut(&name).map_or(Value::Null, Value::take);
                sum.insert(name, added(before, value));
            }
            Value::Object(sum)
        }
        (Value::Number(sum), Value::Number(more)) => match (sum.as_u64(), more.as_u64()) {
            (Some(a), Some(b)) => a.saturating_add(b).into(),
            _ => (sum.as_f64().unwrap_or(0.0) + more.as_f64().unwrap_or(0.0)).into(),
        },
        (sum, _) => sum,
    }
}

/// Streams of one choice each as one stream.
pub(super) struct Sides {
    sources: Vec<Side>,
    /// What chunks say besides choices and usage: all say what the first says.
    head: Option<Map<String, Value>>,
    usage: Option<Value>,
    usage_asked: bool,
}

struct Side {
    source: Source,
    ended: bool,
}

impl Sides {
    pub(super) fn new(sources: Vec<Source>, usage_asked: bool) -> Self {
        let sources = sources.into_iter().map(|source| Side { ended: source.is_over(), source }).collect();
        Self { sources, head: None, usage: None, usage_asked }
    }

    /// The chunks that were read before the streams came together.
    pub(super) fn begin(&mut self, found: Vec<Vec<Chunk>>, out: &mut Vec<Chunk>) -> Result<()> {
        for (index, chunks) in found.into_iter().enumerate() {
            self.take(index, chunks, out)?;
        }
        if self.sources.iter().all(|side| side.ended) { self.finish(out) } else { Ok(()) }
    }

    /// Reads the next event of any of them.
    pub(super) async fn next(&mut self, out: &mut Vec<Chunk>) -> Result<ControlFlow<()>> {
        let open = self.sources.iter_mut().enumerate().filter(|(_, side)| !side.ended);
        let waiting: Vec<_> = open
            .map(|(index, side)| {
                Box::pin(async move {
                    let mut chunks = Vec::new();
                    let flow = side.source.next(&mut chunks).await;
                    (index, chunks, flow)
                })
            })
            .collect();
        if waiting.is_empty() {
            return Ok(ControlFlow::Break(()));
        }
        let ((index, chunks, flow), _, rest) = select_all(waiting).await;
        drop(rest);
        self.take(index, chunks, out)?;
        if flow?.is_break() {
            self.sources[index].ended = true;
            if self.sources.iter().all(|side| side.ended) {
                self.finish(out)?;
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn take(&mut self, index: usize, chunks: Vec<Chunk>, out: &mut Vec<Chunk>) -> Result<()> {
        for mut chunk in chunks {
            let Ok(Value::Object(mut body)) = serde_json::from_slice(&chunk.data) else {
                return Err(Error::new(Kind::Protocol, "an event of the stream is not a JSON object"));
            };
            if let Some(usage) = body.get_mut("usage").map(Value::take).filter(Value::is_object) {
                // Those of one stream replace each other; they are added up at its end.
                self.sources[index].source.told = Some(usage);
            }
            let mut choices = body.get_mut("choices").map(Value::take).unwrap_or_default();
            let is_empty = choices.as_array().is_none_or(Vec::is_empty);
            for choice in choices.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                choice.insert("index".to_owned(), index.into());
            }
            let head = self.head.get_or_insert_with(|| {
                let mut head = body.clone();
                head.remove("usage");
                head
            });
            if is_empty {
                continue;
            }
            for name in ["id", "created", "model"] {
                if let Some(value) = head.get(name) {
                    body.insert(name.to_owned(), value.clone());
                }
            }
            body.insert("choices".to_owned(), choices);
            chunk.data = written(&Value::Object(body))?;
            chunk.hidden = false;
            out.push(chunk);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Chunk>) -> Result<()> {
        let mut sum = Some(Value::Null);
        for side in &mut self.sources {
            sum = sum.and_then(|sum| Some(added(sum, side.source.told.take()?)));
        }
        self.usage = sum;
        if let Some(usage) = self.usage.take().filter(|_| self.usage_asked) {
            let mut body = self.head.clone().unwrap_or_default();
            body.insert("choices".to_owned(), Value::Array(Vec::new()));
            body.insert("usage".to_owned(), usage);
            out.push(Chunk { data: written(&Value::Object(body))?, ..Chunk::default() });
        }
        Ok(())
    }

    /// The id that all chunks have.
    pub(super) fn id(&self) -> Option<&str> {
        self.head.as_ref()?.get("id")?.as_str().filter(|id| !id.is_empty())
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().map(|side| &side.source)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        let headers = vec![("content-length".to_owned(), "1".to_owned()), ("x-id".to_owned(), "a".to_owned())];
        Answer { status: 200, headers, body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn answers_become_choices_of_one() {
        let one = r#"{"id":"a","choices":[{"index":0,"message":{"content":"x"}}],"usage":{"prompt_tokens":3,"details":{"cached":1},"cost":0.5}}"#;
        let two = r#"{"id":"b","choices":[{"index":0,"message":{"content":"y"}}],"usage":{"prompt_tokens":3,"details":{"cached":2},"cost":0.25}}"#;
        let merged = merged(vec![answer(one), answer(two)]).unwrap();
        let body: Value = serde_json::from_slice(&merged.body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"id":"a","choices":[{"index":0,"message":{"content":"x"}},{"index":1,"message":{"content":"y"}}],
                "usage":{"prompt_tokens":6,"details":{"cached":3},"cost":0.75}})
        );
        assert_eq!(merged.headers, [("x-id".to_owned(), "a".to_owned())]);
        // One without a count leaves the sum unknown, which is not the count of the others.
        let merged = super::merged(vec![answer(one), answer(r#"{"choices":[{}]}"#)]).unwrap();
        assert!(!String::from_utf8_lossy(&merged.body).contains("usage"));
        assert!(super::merged(vec![answer("[]")]).is_err() && super::merged(Vec::new()).is_err());
    }
}
