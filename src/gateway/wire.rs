//! A connection that does not wait for ever: for the first byte of a request, for the rest of its head, for a caller to take an answer.
//!
//! hyper's own timer begins when it begins to read a head, which it does while a connection is idle. Here the time for a head begins
//! with its first byte, so that callers may keep connections for longer than a head may take.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::Limits;

/// How often a connection that is idle looks whether others need its place.
const LOOK: Duration = Duration::from_secs(2);
/// Said to who has not sent a head in time.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

/// What a connection is doing.
#[derive(Debug, Default)]
pub(super) struct Phase(AtomicU8);

impl Phase {
    /// A request has come whole but for its body.
    pub(super) fn busy(&self) {
        self.0.store(BUSY, Ordering::Release);
    }

    /// Its answer has ended.
    fn idle(&self) {
        self.0.store(IDLE, Ordering::Release);
    }
}

/// The socket of one connection.
pub(super) struct Wire {
    socket: TcpStream,
    phase: Arc<Phase>,
    limits: Limits,
    /// Whether all places are taken.
    crowded: Arc<AtomicBool>,
    /// The phase that `since` is of.
    last: u8,
    since: Instant,
    alarm: Pin<Box<Sleep>>,
    /// Since when the caller takes nothing of what is to be written, and when that is too long.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(super) fn new(socket: TcpStream, phase: Arc<Phase>, limits: Limits, crowded: Arc<AtomicBool>) -> Self {
        let since = Instant::now();
        let alarm = Box::pin(sleep_until(since + LOOK));
        Self { socket, phase, limits, crowded, last: IDLE, since, alarm, stuck: None }
    }

    /// Nothing has come: whether that may go on.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let (now, phase) = (Instant::now(), self.phase.0.load(Ordering::Acquire));
            if phase != self.last {
                self.last = phase;
                self.since = now;
            }
            let next = match phase {
                IDLE => {
                    let end = self.since + self.limits.idle_timeout;
                    let crowded = self.crowded.load(Ordering::Relaxed) && now >= self.since + LOOK;
                    if now >= end || crowded {
                        return Poll::Ready(too_late());
                    }
                    end.min(now + LOOK)
                }
                HEAD => {
                    let end = self.since + self.limits.header_timeout;
                    if now >= end {
                        if self.stuck.is_none() {
                            // Nothing else is on its way to the caller. If he does not take it, he does not.
                            _ = self.socket.try_write(TOO_SLOW);
                        }
                        return Poll::Ready(too_late());
                    }
                    end
                }
                // The body's time is looked after where it is read. When the answer ends, nobody asks for more until something
                // comes: so it is looked now and then.
                _ => now + LOOK,
            };
            // One that rings too early rings again; setting it anew for every request would cost more.
            if self.alarm.is_elapsed() || self.alarm.deadline() > next {
                self.alarm.as_mut().reset(next);
            }
            ready!(self.alarm.as_mut().poll(context));
        }
    }

    /// What becomes of a write: a caller who takes nothing for too long is left.
    fn watched<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let limit = self.limits.write_timeout;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        ready!(stuck.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller takes nothing")))
    }
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nothing came in time")
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        match Pin::new(&mut this.socket).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before {
                    // The first byte of a head; of a body, nothing changes.
                    _ = this.phase.0.compare_exchange(IDLE, HEAD, Ordering::AcqRel, Ordering::Acquire);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_patience(context).map(Err),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.socket).poll_write_vectored(context, parts);
        this.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// An answer's body; the connection is idle again when it is dropped.
pub(super) struct Answer<B> {
    body: B,
    phase: Arc<Phase>,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, phase: Arc<Phase>) -> Self {
        Self { body, phase }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.phase.idle();
    }
}
