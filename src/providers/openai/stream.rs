//! Reads one stream: each event is a chunk.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::glance::{DEEPEST, Glance};
use super::{failures, mend};
use crate::error::{Error, Kind, Result};
use crate::providers::request::Reading;
use crate::providers::types::{Chunk, Endpoint, ReadStream, Usage};

/// Where one stream stands.
#[derive(Debug, Default)]
pub struct Reader {
    reading: Reading,
    /// The choices seen.
    choices: BTreeMap<u64, Seen>,
    usage: Option<Usage>,
    id: Option<Box<str>>,
    text: String,
    chars: usize,
}

#[derive(Debug, Default)]
struct Seen {
    /// It has said why it ended.
    ended: bool,
    /// The ids of its calls, in the order of their indexes, where the server gives none.
    calls: Vec<String>,
}

impl Reader {
    /// A reader for a request that was made with `reading`.
    pub fn new(reading: &Reading) -> Self {
        Self { reading: reading.clone(), ..Self::default() }
    }

    /// Takes down what an event says; the chunk still lacks its data.
    fn note(&mut self, endpoint: &Endpoint, glance: &Glance<'_>) -> Chunk {
        let mut chunk = Chunk::default();
        if self.id.is_none() {
            self.id = glance.id().map(Into::into);
        }
        let choices = glance.choices.as_deref().unwrap_or_default();
        for choice in choices {
            let index = choice.index.unwrap_or(0);
            let ends = choice.ends();
            self.choices.entry(index).or_default().ended |= ends;
            chunk.ends |= ends;
            let Some(delta) = choice.said() else { continue };
            chunk.content |= delta.speaks();
            self.chars += delta.chars();
            if index == 0 {
                self.text.push_str(delta.content.get().unwrap_or_default());
            }
        }
        let usage = glance.usage(endpoint.provider);
        chunk.hidden = choices.is_empty() && usage.is_some() && !self.reading.usage_asked;
        self.usage = usage.or(self.usage);
        chunk
    }
}

impl Seen {
    /// The index of a call whose server tells none: an id begins a call, what has none continues the last.
    fn index(&mut self, id: Option<&str>) -> u64 {
        let id = id.unwrap_or_default();
        if self.calls.is_empty() || !id.is_empty() && !self.calls.iter().any(|known| known == id) {
            self.calls.push(id.to_owned());
        }
        let at = self.calls.iter().position(|known| known == id && !id.is_empty());
        at.unwrap_or(self.calls.len() - 1) as u64
    }
}

impl ReadStream for Reader {
    fn read(&mut self, endpoint: &Endpoint, data: Bytes, out: &mut Vec<Chunk>) -> Result<ControlFlow<()>> {
        if data.trim_ascii() == b"[DONE]" {
            if self.choices.is_empty() {
                let what = format!("{} ended the stream without a choice in it", endpoint.host());
                return Err(Error::new(Kind::Protocol, what));
            }
            return Ok(ControlFlow::Break(()));
        }
        let glance = Glance::at(&data).ok_or_else(|| {
            Error::new(
                Kind::Protocol,
                format!(
                    "{} sent an event that is not a JSON object nested up to {DEEPEST} deep ({} bytes)",
                    endpoint.host(),
                    data.len()
                ),
            )
        })?;
        if let Some(error) = glance.broken_off() {
            return Err(failures::told(endpoint, &error, &[], &data));
        }
        let counts = glance.odd_usage(endpoint.provider);
        let mended = (glance.is_odd(&self.reading) || glance.is_numberless() || counts.is_some()).then(|| {
            let seen = &mut self.choices;
            mend::chunk(&data, &self.reading, counts, |choice, id| seen.entry(choice).or_default().index(id))
        });
        let chunk = match mended.flatten() {
            Some(data) => Chunk { data: data.clone(), ..self.note(endpoint, &Glance::at(&data).unwrap_or_default()) },
            None => Chunk { data: data.clone(), ..self.note(endpoint, &glance) },
        };
        out.push(chunk);
        Ok(ControlFlow::Continue(()))
    }

    /// Whether every choice has said why it ended.
    fn is_complete(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|seen| seen.ended)
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn text(&self) -> &str {
        &self.text
    }

    fn made_chars(&self) -> usize {
        self.chars
    }
}
