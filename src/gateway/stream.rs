//! A stream on its way to the caller.
//!
//! Chunks are asked for when the socket takes more, so a caller who reads slowly slows the provider down. Whoever stops
//! reading drops the body, with it the engine's stream, and with that the provider's connection; what had come by then is
//! in the account.

use std::convert::Infallible;
use std::time::Instant;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::watch;

use super::explain;
use super::protocol::Reply;
use super::told::Told;
use crate::engine::stream::Stream;
use crate::error::{Denied, Error};

/// Chunks that are there already go out together, up to so many bytes.
const TOGETHER: usize = 16 << 10;

/// The stream as a body in the caller's shape.
pub(super) fn body(stream: Stream, reply: Box<dyn Reply>, told: Told, explain: bool) -> Body {
    let cut = told.when_cut();
    let sending = Sending { told, stream, reply, explain, cut, last: Instant::now(), over: false };
    let frames = futures_util::stream::unfold(sending, async |mut sending: Sending| {
        let bytes = sending.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), sending))
    });
    Body::new(StreamBody::new(frames))
}

struct Sending {
    told: Told,
    stream: Stream,
    reply: Box<dyn Reply>,
    explain: bool,
    /// Whether the server's time is up.
    cut: watch::Receiver<bool>,
    /// When the last piece was handed to the socket.
    last: Instant,
    over: bool,
}

impl Sending {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let mut out = BytesMut::new();
        while out.is_empty() && !self.over {
            let next = tokio::select! {
                next = self.stream.next() => next,
                () = reached(&mut self.cut) => {
                    self.stream.close();
                    Err(cut_off())
                }
            };
            // The provider, or the caller who was not ready for more.
            self.told.waited_since(self.last);
            self.last = Instant::now();
            match next {
                Ok(Some(chunk)) => {
                    self.add(&chunk, &mut out);
                    while out.len() < TOGETHER
                        && let Some(chunk) = self.stream.ready()
                    {
                        self.add(&chunk, &mut out);
                    }
                }
                Ok(None) => {
                    self.reply.end(&mut out);
                    self.ended(None);
                }
                Err(error) => {
                    self.reply.broken(&error, &mut out);
                    self.ended(Some(&error));
                }
            }
        }
        self.last = Instant::now();
        Some(out.freeze()).filter(|bytes| !bytes.is_empty())
    }

    fn add(&mut self, chunk: &Bytes, out: &mut BytesMut) {
        if self.explain
            && let Some(account) = self.stream.account()
            && let Some(decided) = &self.told.decided
        {
            let object = explain::object(&self.told.id, decided, Some(&account));
            self.reply.chunk(&explain::into(chunk, &object), out);
            return;
        }
        self.reply.chunk(chunk, out);
    }

    fn ended(&mut self, error: Option<&Error>) {
        self.over = true;
        self.told.account = self.stream.account();
        match error {
            // The status line has been sent long ago.
            Some(error) => self.told.failed(200, error),
            None => self.told.over(200),
        }
    }
}

/// Waits until the server's time is up; with nobody left to say so, for ever.
async fn reached(cut: &mut watch::Receiver<bool>) {
    if cut.wait_for(|cut| *cut).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The server ends, and what still runs with it.
fn cut_off() -> Error {
    let denied = Denied { status: 503, code: "server_stopping", retry_after: None };
    Error::denied(denied, "the server is being stopped: the answer ends here")
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.over {
            // Before the request is told of, so that what it came to is told with it.
            self.stream.close();
            self.told.account = self.stream.account();
            self.told.status = 200;
        }
    }
}
