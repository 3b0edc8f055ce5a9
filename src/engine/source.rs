//! One response that is read as a stream, and the reader that understands it.

use std::ops::{ControlFlow, Deref};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::providers::halves::Halves;
use crate::providers::sse::Events;
use crate::providers::{Chunk, Endpoint, ReadStream};

/// One of a plan's endpoints.
#[derive(Clone)]
pub(super) struct Called {
    pub plan: Arc<[Endpoint]>,
    pub index: usize,
}

impl Deref for Called {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.plan[self.index]
    }
}

/// One response and its reader.
pub(super) struct Source {
    called: Called,
    events: Events,
    halves: Halves,
    reader: Box<dyn ReadStream>,
    /// The last usage as the chunks of a merged stream tell it.
    pub(super) told: Option<Value>,
    events_seen: bool,
    is_over: bool,
}

impl Source {
    pub(super) fn new(called: Called, events: Events, reader: Box<dyn ReadStream>) -> Self {
        Self { called, events, halves: Halves::default(), reader, told: None, events_seen: false, is_over: false }
    }

    pub(super) fn reader(&self) -> &dyn ReadStream {
        &*self.reader
    }

    /// Reads what is left after the end mark.
    pub(super) async fn drain(mut self) {
        while let Ok(Some(_)) = self.events.next().await {}
    }

    /// Reads the next event; breaks at the end. Nothing is lost when its future is dropped.
    pub(super) async fn next(&mut self, out: &mut Vec<Chunk>) -> Result<ControlFlow<()>> {
        let host = || self.called.host();
        let event = loop {
            match self.events.next().await {
                // It is to keep the connection alive, as a comment is.
                Ok(Some(data)) if is_ping(&data) => self.events.kept_alive()?,
                event => break event,
            }
        };
        match event {
            Ok(Some(data)) => {
                self.events_seen = true;
                let data = self.halves.joined(data);
                let flow = self.reader.read(&self.called, data, out)?;
                self.is_over = flow.is_break();
                Ok(flow)
            }
            // Some servers go without the end mark; reasons to stop say as well that nothing is missing.
            Ok(None) if self.reader.is_complete() => Ok(self.finish(out)),
            Err(error) if self.reader.is_complete() && matches!(error.kind(), Kind::Connection | Kind::Timeout) => {
                Ok(self.finish(out))
            }
            Ok(None) if !self.events_seen => {
                Err(Error::new(Kind::Protocol, format!("{} sent no event where a stream was asked for", host())))
            }
            Ok(None) => {
                Err(Error::new(Kind::Protocol, format!("the stream from {} was cut before its end", host())).lost())
            }
            Err(error) if error.kind() == Kind::Connection => Err(error.context("the stream was cut before its end")),
            Err(error) => Err(error),
        }
    }

    fn finish(&mut self, out: &mut Vec<Chunk>) -> ControlFlow<()> {
        self.reader.finish(&self.called, out);
        self.is_over = true;
        ControlFlow::Break(())
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }
}

/// Whether an event is only there to keep the connection alive: `Anthropic`'s `{"type": "ping"}`.
fn is_ping(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow, rename = "type")]
        kind: &'a str,
    }
    // Pings are short, and nothing longer has to be read twice.
    data.len() <= 64 && serde_json::from_slice::<Event<'_>>(data).is_ok_and(|event| event.kind == "ping")
}
