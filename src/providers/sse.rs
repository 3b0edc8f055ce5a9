//! Server-sent events: from pieces of bytes, cut anywhere, to the data of whole events.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use eventsource_stream::{EventStream, EventStreamError};
use futures_util::{Stream, StreamExt};

use crate::error::{Error, Kind, Result};

/// An event larger than this is refused, so that a server which never ends one cannot fill the memory.
const LARGEST_EVENT: usize = 64 << 20;

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// The events of a response.
pub struct Events {
    inner: EventStream<Pieces>,
    /// Bytes received since the last whole event.
    pending: Arc<AtomicUsize>,
}

impl Events {
    /// Reads events out of `pieces`.
    pub fn new(pieces: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        let pending = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&pending);
        let counted = pieces.map(move |piece| {
            let piece = piece?;
            if count.fetch_add(piece.len(), Ordering::Relaxed) > LARGEST_EVENT {
                return Err(Error::new(Kind::Protocol, format!("an event of the stream is larger than {LARGEST_EVENT} bytes")));
            }
            Ok(piece)
        });
        Self { inner: EventStream::new(Box::pin(counted)), pending }
    }

    /// The data of the next event; `None` when the response has ended. Comments and empty events are skipped.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        match self.inner.next().await {
            None => Ok(None),
            Some(Ok(event)) => {
                self.pending.store(0, Ordering::Relaxed);
                Ok(Some(Bytes::from(event.data)))
            }
            Some(Err(EventStreamError::Transport(error))) => Err(error),
            Some(Err(EventStreamError::Utf8(_))) => Err(Error::new(Kind::Protocol, "the stream is not UTF-8")),
            Some(Err(EventStreamError::Parser(_))) => Err(Error::new(Kind::Protocol, "the stream is not one of server-sent events")),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: Vec<Vec<u8>>) -> Result<Vec<String>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut events = Events::new(stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece)))));
            let mut all = Vec::new();
            while let Some(data) = events.next().await? {
                all.push(String::from_utf8(data.to_vec()).unwrap());
            }
            Ok(all)
        })
    }

    #[test]
    fn comments_line_ends_and_many_lines() {
        let text = ": hello\r\n\r\ndata: a\r\n\r\ndata:b\n\n: ping\ndata: c\ndata: d\n\nevent: x\nid: 1\nretry: 5\ndata: e\n\n\n\ndata: [DONE]\n\n";
        assert_eq!(read(vec![text.into()]).unwrap(), ["a", "b", "c\nd", "e", "[DONE]"]);
        assert_eq!(read(vec!["\u{feff}data: a\n\n".into()]).unwrap(), ["a"]);
        assert_eq!(read(vec!["data: a\n\ndata: cut".into()]).unwrap(), ["a"]);
    }

    #[test]
    fn not_utf8_is_an_error() {
        assert_eq!(read(vec![b"data: \xff\n\n".to_vec()]).unwrap_err().kind(), Kind::Protocol);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let piece = vec![b'x'; 1 << 20];
        let pieces = std::iter::once(b"data: ".to_vec()).chain(std::iter::repeat_n(piece, 70));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut events = Events::new(stream::iter(pieces.map(|piece| Ok(Bytes::from(piece)))));
        assert_eq!(runtime.block_on(events.next()).unwrap_err().kind(), Kind::Protocol);
    }

    proptest! {
        /// Split at any bytes, characters and line ends included, the events are the same.
        #[test]
        fn any_split_gives_the_same_events(
            lines in prop::collection::vec(prop_oneof![Just("data: {\"x\":\"é漢🦀\"}".to_owned()), Just(": ping".to_owned()), "data: \\PC{0,12}", Just(String::new())], 1..12),
            end in prop_oneof![Just("\n"), Just("\r\n")],
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let text: String = lines.iter().flat_map(|line| [line.as_str(), end]).chain([end]).collect();
            let bytes = text.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).chain([0, bytes.len()]).collect();
            at.sort_unstable();
            let pieces = at.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect();
            prop_assert_eq!(read(pieces).unwrap(), read(vec![bytes.to_vec()]).unwrap());
        }
    }
}
