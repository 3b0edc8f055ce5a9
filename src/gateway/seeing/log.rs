//! One line for each request and for what happens to the server, on stderr: as text or as JSON.
//!
//! A line holds names, numbers and kinds of failure: never a prompt, an answer or a secret, and not a provider's words
//! either, since they may repeat the prompt. Lines are written by a thread of their own. The queue is bounded: when
//! nobody reads them fast enough they are dropped and counted, and no request waits.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result};
use crate::gateway::deciding::Broken;
use crate::gateway::event::Event;

/// Lines that wait to be written.
const WAITING: usize = 8192;
/// How long the end of the server waits for them.
const LAST: Duration = Duration::from_secs(1);

/// How lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// None are.
    Off,
    /// `time level event name=value ...`.
    #[default]
    Text,
    /// A JSON object.
    Json,
}

impl Form {
    /// The form of that name: `off`, `text`, `json`.
    ///
    /// # Errors
    /// [`Kind::Value`] for another one.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "off" => Ok(Self::Off),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Error::value(format!("logs: expected text, json or off, found {name:?}"))),
        }
    }
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Info,
    /// Somebody should look at it some time.
    Warning,
    /// Somebody should look at it now.
    Error,
}

impl Level {
    /// `info`, `warning`, `error`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Writes lines until it is dropped.
#[derive(Debug)]
pub(super) struct Log {
    form: Form,
    /// Requests that went well have lines as well.
    all: bool,
    queue: Option<SyncSender<String>>,
    ended: Mutex<Receiver<()>>,
    dropped: Arc<AtomicU64>,
}

impl Log {
    /// Writes to `out`; without `all`, only of requests that failed on the server's side.
    pub(super) fn to(out: impl Write + Send + 'static, form: Form, all: bool) -> Result<Self> {
        let (queue, coming) = sync_channel(WAITING);
        let (end, ended) = sync_channel::<()>(1);
        std::thread::Builder::new()
            .name("ferroute-log".to_owned())
            .spawn(move || {
                write_all(out, &coming);
                drop(end);
            })
            .map_err(|error| Error::new(Kind::Io, format!("the thread for logs could not be started: {error}")))?;
        Ok(Self { form, all, queue: Some(queue), ended: Mutex::new(ended), dropped: Arc::default() })
    }

    /// A request is over.
    pub(super) fn seen(&self, event: &Event<'_>) {
        let failed = super::is_failure(event);
        if failed || self.all {
            let level = if failed { Level::Warning } else { Level::Info };
            self.line(level, "request", fields(event));
        }
    }

    /// Something has happened to the server.
    pub(super) fn say(&self, level: Level, event: &str, message: &str) {
        self.line(level, event, vec![("message", message.into())]);
    }

    /// Something was done to a key.
    pub(super) fn audit(&self, event: &str, key: &str, name: &str, team: Option<&str>) {
        let mut fields = vec![("key", key.into()), ("name", name.into())];
        if let Some(team) = team {
            fields.push(("team", team.into()));
        }
        self.line(Level::Info, event, fields);
    }

    fn line(&self, level: Level, event: &str, fields: Vec<(&'static str, Value)>) {
        let mut line = match self.form {
            Form::Off => return,
            Form::Text => text(level, event, &fields),
            Form::Json => json(level, event, fields),
        };
        line.push('\n');
        if self.queue.as_ref().is_none_or(|queue| queue.try_send(line).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that were not written for want of a reader.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Log {
    /// What waits has a moment to get out; a pipe that nobody reads does not hold up the end.
    fn drop(&mut self) {
        self.queue = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(LAST);
    }
}

fn write_all(mut out: impl Write, coming: &Receiver<String>) {
    let mut lines = String::new();
    while let Ok(first) = coming.recv() {
        lines.clear();
        lines.push_str(&first);
        while lines.len() < 64 << 10
            && let Ok(next) = coming.try_recv()
        {
            lines.push_str(&next);
        }
        // Who closed stderr wants no lines.
        let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
    }
}

fn fields(event: &Event<'_>) -> Vec<(&'static str, Value)> {
    let mut fields: Vec<(&'static str, Value)> = vec![
        ("id", event.id.into()),
        ("protocol", event.protocol.into()),
        ("path", event.path.into()),
        ("status", event.status.into()),
        ("ms", millis(event.total)),
        ("overhead_ms", millis(event.overhead)),
    ];
    if event.stream {
        fields.push(("stream", true.into()));
    }
    if event.cancelled {
        fields.push(("cancelled", true.into()));
    }
    if let Some(key) = &event.caller.key {
        fields.push(("key", key.id.as_str().into()));
    }
    if let Some(team) = event.caller.team() {
        fields.push(("team", team.into()));
    }
    if let Some(decided) = event.decided {
        let instead = event.account.and_then(|account| account.instead.as_ref());
        fields.push(("model", instead.map_or(decided.target.name.as_str(), |instead| &instead.model).into()));
        if instead.is_some() {
            fields.push(("chosen", decided.target.name.as_str().into()));
        }
        if let Some(router) = &decided.router {
            fields.push(("router", router.as_str().into()));
        }
        if let Some(win_rate) = decided.win_rate {
            fields.push(("win_rate", rounded(win_rate, 1e4)));
        }
        if let Some(tier) = &decided.tier {
            fields.push(("tier", tier.as_str().into()));
        }
    }
    if let Some(account) = event.account {
        if let Some(usage) = &account.usage {
            fields.push(("prompt_tokens", usage.prompt_tokens.into()));
            fields.push(("completion_tokens", usage.completion_tokens.into()));
        }
        // Unpriced is null, never zero.
        fields.push(("cost_usd", dollars(account.cost)));
        if account.saved.is_some() {
            fields.push(("saved_usd", dollars(account.saved)));
        }
        if account.attempts > 1 {
            fields.push(("attempts", account.attempts.into()));
        }
        if let Some(first) = account.first_content {
            fields.push(("first_ms", millis(first)));
        }
    }
    if let Some(error) = event.error {
        fields.push(("error", super::kind(error).into_owned().into()));
        // The exception's words may repeat the prompt; its class does not.
        if let Some(broken) = error.raised::<Broken>() {
            if event.decided.is_none() {
                fields.push(("router", broken.router.as_str().into()));
            }
            fields.push(("exception", broken.class.as_str().into()));
        }
    }
    fields
}

fn dollars(amount: Option<rust_decimal::Decimal>) -> Value {
    amount.and_then(|amount| amount.to_f64()).map_or(Value::Null, Value::from)
}

fn millis(time: Duration) -> Value {
    rounded(time.as_secs_f64() * 1e3, 1e3)
}

fn rounded(number: f64, parts: f64) -> Value {
    ((number * parts).round() / parts).into()
}

fn json(level: Level, event: &str, fields: Vec<(&'static str, Value)>) -> String {
    let mut line = Map::new();
    line.insert("time".to_owned(), timestamp(SystemTime::now()).into());
    line.insert("level".to_owned(), level.name().into());
    line.insert("event".to_owned(), event.into());
    line.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(line).to_string()
}

fn text(level: Level, event: &str, fields: &[(&'static str, Value)]) -> String {
    let mut line = timestamp(SystemTime::now());
    let _ = write!(line, " {} {event}", level.name());
    for (name, value) in fields {
        // What could be taken for more fields, or for more lines, is in quotes and escaped.
        let _ = match value.as_str() {
            Some(word) if is_word(word) => write!(line, " {name}={word}"),
            _ => write!(line, " {name}={value}"),
        };
    }
    line
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\'))
}

/// RFC 3339 in UTC, to the millisecond.
fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = crate::math::calendar::date_of(days as i64);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(form: Form, lines: &[&str]) -> Vec<String> {
        let paper = Paper::default();
        let log = Log::to(paper.clone(), form, true).unwrap();
        for line in lines {
            log.say(Level::Warning, "reload", line);
        }
        drop(log);
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_stays_one_line() {
        let lines = written(Form::Text, &["word", "two\nlines level=error", "say \"so\""]);
        assert_eq!(lines.len(), 3);
        let ends = [" warning reload message=word", r#"message="two\nlines level=error""#, r#"message="say \"so\"""#];
        for (line, end) in lines.iter().zip(ends) {
            assert!(line.ends_with(end), "{line}");
        }
        let lines = written(Form::Json, &["two\nlines"]);
        let read: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((read["message"].as_str(), read["level"].as_str()), (Some("two\nlines"), Some("warning")));
        assert!(written(Form::Off, &["nothing"]).is_empty());
    }

    #[test]
    fn a_time_is_a_date() {
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(1_795_000_000_042)), "2026-11-18T11:06:40.042Z");
        assert_eq!(timestamp(UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn nobody_waits_for_who_reads_the_lines() {
        struct Stuck(Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (free, stuck) = sync_channel(0);
        let log = Log::to(Stuck(stuck), Form::Text, true).unwrap();
        // Some are in the thread's hands, up to a batch of 64 KiB.
        let count = WAITING + 20_000;
        for _ in 0..count {
            log.say(Level::Info, "start", "x");
        }
        let dropped = log.dropped();
        assert!(dropped > 0 && dropped < count as u64, "{dropped}");
        drop(free);
    }
}
