//! Server-sent events: from pieces of bytes, cut anywhere, to the data of whole events.
//!
//! Written here because the crate for it, `eventsource-stream` 0.2.3, panics on a byte order mark. Only `data` is
//! kept: every dialect repeats the event's name inside it. Nothing is copied but the lines after an event's first.

use std::mem;
use std::pin::Pin;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use crate::error::{Error, Kind, Result};

/// An event larger than this is refused, so that a server which never ends one cannot fill the memory.
const LARGEST_EVENT: usize = 64 << 20;

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// The events of a response.
pub struct Events {
    pieces: Pieces,
    decoder: Decoder,
    /// From then on keep-alives alone do not keep it alive.
    deadline: Option<Instant>,
}

impl Events {
    /// Reads events out of `pieces`.
    pub fn new(pieces: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        // Whoever asks again after the end hears of the end again.
        Self { pieces: Box::pin(pieces.fuse()), decoder: Decoder::default(), deadline: None }
    }

    /// The same, of a call that has to be over by `deadline`: once that is past, [`next`](Self::next) ends with a
    /// [`Kind::Timeout`] when something arrives that is no part of an event.
    #[must_use]
    pub fn until(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    /// Called for what arrived and says nothing.
    ///
    /// # Errors
    /// [`Kind::Timeout`] once the deadline is past.
    pub fn kept_alive(&self) -> Result<()> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => {
                Err(Error::new(Kind::Timeout, "the deadline is past, and the stream holds only keep-alives").lost())
            }
            _ => Ok(()),
        }
    }

    /// The data of the next event; `None` when the response has ended. Comments and empty events are skipped, and so
    /// is an event without its closing empty line.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut woken = false;
        loop {
            if let Some(data) = self.decoder.next()? {
                return Ok(Some(data));
            }
            if woken && self.decoder.is_between_events() {
                self.kept_alive()?;
            }
            let Some(piece) = self.pieces.next().await else { return Ok(None) };
            self.decoder.push(&piece?);
            woken = true;
        }
    }
}

/// The parser, apart from where its bytes come from.
#[derive(Default)]
struct Decoder {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    scanned: usize,
    /// Whether the last line ended with a carriage return, whose line feed may be yet to come.
    after_return: bool,
    /// Whether the first line, which may begin with a byte order mark, is behind us.
    begun: bool,
    /// Whether a line of an event has come, and not yet its end.
    in_event: bool,
    /// The data lines of the event so far.
    data: Data,
}

#[derive(Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Data {
    fn add(&mut self, line: Bytes) {
        *self = match mem::take(self) {
            Self::None => Self::One(line),
            Self::One(first) => Self::Many([&first[..], b"\n", &line[..]].concat().as_slice().into()),
            Self::Many(mut lines) => {
                lines.extend_from_slice(b"\n");
                lines.extend_from_slice(&line);
                Self::Many(lines)
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len(),
            Self::Many(lines) => lines.len(),
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        match mem::take(self) {
            Self::None => None,
            Self::One(line) => Some(line),
            Self::Many(lines) => Some(lines.freeze()),
        }
    }
}

impl Decoder {
    fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// Whether no event has begun.
    fn is_between_events(&self) -> bool {
        !self.in_event && matches!(self.buffer.first(), None | Some(b':'))
    }

    fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(line) = self.line() {
            self.in_event = !line.is_empty() && (self.in_event || line[0] != b':');
            if let Some(value) = data_of(&line) {
                self.data.add(value);
                if self.data.len() > LARGEST_EVENT {
                    return Err(too_large());
                }
            } else if line.is_empty()
                && let Some(data) = self.data.take().filter(|data| !data.is_empty())
            {
                if std::str::from_utf8(&data).is_err() {
                    return Err(Error::new(Kind::Protocol, "the stream is not UTF-8"));
                }
                return Ok(Some(data));
            }
        }
        if self.buffer.len() + self.data.len() > LARGEST_EVENT { Err(too_large()) } else { Ok(None) }
    }

    /// The next whole line, without its end: a line feed, a carriage return, or both.
    fn line(&mut self) -> Option<Bytes> {
        if self.after_return && !self.buffer.is_empty() {
            self.after_return = false;
            if self.buffer[0] == b'\n' {
                self.buffer.advance(1);
            }
        }
        let Some(more) = self.buffer[self.scanned..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.scanned + more).freeze();
        self.after_return = self.buffer[0] == b'\r';
        self.buffer.advance(1);
        self.scanned = 0;
        if !self.begun {
            self.begun = true;
            if line.starts_with(b"\xef\xbb\xbf") {
                line.advance(3);
            }
        }
        Some(line)
    }
}

fn too_large() -> Error {
    Error::new(Kind::Protocol, format!("an event of the stream is larger than {LARGEST_EVENT} bytes"))
}

/// The value of a `data` line, without the one space that may follow the colon.
fn data_of(line: &Bytes) -> Option<Bytes> {
    let rest = line.strip_prefix(b"data")?;
    let value = match rest {
        [] => rest,
        [b':', b' ', value @ ..] | [b':', value @ ..] => value,
        _ => return None,
    };
    Some(line.slice_ref(value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
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

    /// The same by whole lines.
    fn slow(lines: &[String]) -> Vec<String> {
        let events = lines
            .split(String::is_empty)
            .map(|event| event.iter().filter_map(|line| line.strip_prefix("data: ")).collect::<Vec<_>>().join("\n"));
        events.filter(|data| !data.is_empty()).collect()
    }

    #[test]
    fn comments_line_ends_and_many_lines() {
        let text = ": hello\r\n\r\ndata: a\r\n\r\ndata:b\n\n: ping\ndata: c\ndata: d\n\nevent: x\nid: 1\nretry: 5\ndata: e\n\n\n\ndata: [DONE]\n\n";
        assert_eq!(read(vec![text.into()]).unwrap(), ["a", "b", "c\nd", "e", "[DONE]"]);
        assert_eq!(read(vec!["\u{feff}data: a\n\n".into()]).unwrap(), ["a"]);
        assert_eq!(read(vec!["data: a\r\rdata:  b\r".into(), "\n\r\n".into()]).unwrap(), ["a", " b"]);
        assert_eq!(read(vec!["data\n\ndata:\n\ndatabase: x\n\ndata\ndata: y\n\n".into()]).unwrap(), ["\ny"]);
        assert_eq!(read(vec!["data: a\n\ndata: cut".into()]).unwrap(), ["a"]);
    }

    #[test]
    fn the_end_stays_the_end() {
        let pieces = stream::unfold(Some("data: a\n\n"), |text| async move { Some((Ok(Bytes::from(text?)), None)) });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(async {
            let mut events = Events::new(pieces);
            [events.next().await.unwrap(), events.next().await.unwrap(), events.next().await.unwrap()]
        });
        assert_eq!(found, [Some(Bytes::from("a")), None, None]);
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

    #[test]
    fn many_lines_of_one_event_are_joined() {
        // Copying what there is for every line would move 360 GB.
        let events = read(vec![[&b"data:x\n".repeat(600_000)[..], b"\n"].concat()]).unwrap();
        assert_eq!((events.len(), events[0].len()), (1, 1_199_999));
    }

    proptest! {
        /// Split at any bytes, characters and line ends included, the events are the same.
        #[test]
        fn any_split_gives_the_same_events(
            lines in prop::collection::vec(prop_oneof![Just("data: {\"x\":\"é漢🦀\"}".to_owned()), Just(": ping".to_owned()), "data: \\PC{0,12}", Just(String::new())], 1..12),
            end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let text: String = lines.iter().flat_map(|line| [line.as_str(), end]).chain([end]).collect();
            let bytes = text.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).chain([0, bytes.len()]).collect();
            at.sort_unstable();
            let pieces = at.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect();
            prop_assert_eq!(read(pieces).unwrap(), slow(&lines));
        }
    }
}
