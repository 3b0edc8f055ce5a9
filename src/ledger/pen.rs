//! A connection that only writes: `SQLite` called on the writer's own thread, one prepared statement for each row.
//!
//! sqlx runs every statement on another thread. Where all processors are busy each hand-over waits for its turn, so that
//! a batch took longer than calls may stay unwritten; and it copies every text on the way. Here a row takes some
//! microseconds.

use std::ffi::{CStr, CString, c_int};
use std::path::Path;
use std::ptr;
use std::time::{Duration, Instant};

use libsqlite3_sys as ffi;

use super::row::Row;
use super::score::Score;
use super::store::{self, PATIENCE};

/// Another writer is waited for this long at a time, so that this one hears whether it shall end or rest.
const TURN: Duration = Duration::from_millis(250);
/// How often it is looked whether that one is done: others leave at least this long between two transactions.
const LOOK: Duration = Duration::from_millis(2);

/// What `SQLite` said.
#[derive(Debug)]
pub(super) struct Refused {
    /// Its primary result code.
    pub(super) code: c_int,
    pub(super) message: String,
}

impl Refused {
    /// Somebody else is writing.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.code, ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED)
    }

    /// It is these rows, and would be so tomorrow.
    pub(super) fn is_about_rows(&self) -> bool {
        matches!(self.code, ffi::SQLITE_TOOBIG | ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH)
    }
}

/// The connection with its statements. It stays on the thread that made it.
#[derive(Debug)]
pub(super) struct Pen {
    database: *mut ffi::sqlite3,
    insert: *mut ffi::sqlite3_stmt,
    fill: *mut ffi::sqlite3_stmt,
    mark: *mut ffi::sqlite3_stmt,
    score: *mut ffi::sqlite3_stmt,
}

impl Pen {
    /// Opens a file whose tables are there.
    pub(super) fn open(path: &Path) -> Result<Self, Refused> {
        let name = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| Refused { code: ffi::SQLITE_CANTOPEN, message: "its path has a NUL".into() })?;
        let nothing = ptr::null_mut();
        let mut pen = Self { database: ptr::null_mut(), insert: nothing, fill: nothing, mark: nothing, score: nothing };
        let flags = ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_NOMUTEX;
        // SAFETY: the name ends with a NUL; what is opened, even in vain, is closed by `drop`.
        let code = unsafe { ffi::sqlite3_open_v2(name.as_ptr(), &raw mut pen.database, flags, ptr::null()) };
        pen.checked(code)?;
        pen.wait_for_others(PATIENCE);
        // A commit is in the system's hands at once; the disk is waited for when the log is folded in.
        pen.execute(c"PRAGMA synchronous = NORMAL")?;
        pen.insert = pen.prepared(&store::insert(1))?;
        pen.fill = pen.prepared("UPDATE calls SET features = ?1 WHERE id = ?2")?;
        pen.mark = pen.prepared(store::MARK)?;
        pen.score = pen.prepared(store::SCORE)?;
        pen.wait_for_others(Duration::ZERO);
        Ok(pen)
    }

    /// Writes rows, all or none.
    pub(super) fn write(&mut self, rows: &[Row]) -> Result<(), Refused> {
        self.transaction(|pen| rows.iter().try_for_each(|row| pen.run(pen.insert, |values| bind(values, row))))
    }

    /// Enters features into rows that came without.
    pub(super) fn fill(&mut self, features: &[(i64, Vec<u8>)]) -> Result<(), Refused> {
        let one = |pen: &Self, (id, packed): &(i64, Vec<u8>)| {
            pen.run(pen.fill, |values| {
                values.blob(Some(packed));
                values.integer(*id);
            })
        };
        self.transaction(|pen| features.iter().try_for_each(|entry| one(pen, entry)))
    }

    /// Marks answers after which the user asked again.
    pub(super) fn mark(&mut self, ids: &[i64]) -> Result<(), Refused> {
        self.transaction(|pen| ids.iter().try_for_each(|id| pen.run(pen.mark, |values| values.integer(*id))))
    }

    /// Enters scores of answers.
    pub(super) fn score(&mut self, scores: &[Score]) -> Result<(), Refused> {
        let one = |pen: &Self, score: &Score| {
            pen.run(pen.score, |values| {
                values.integer(score.call);
                values.text(score.source.as_str());
                values.real(score.score);
                values.real(score.probability);
                values.integer(score.ts);
                values.text(score.model.as_deref());
            })
        };
        self.transaction(|pen| scores.iter().try_for_each(|score| one(pen, score)))
    }

    fn transaction(&mut self, work: impl FnOnce(&Self) -> Result<(), Refused>) -> Result<(), Refused> {
        let begun = Instant::now();
        loop {
            match self.execute(c"BEGIN IMMEDIATE") {
                Err(refused) if refused.is_busy() && begun.elapsed() < TURN => std::thread::sleep(LOOK),
                other => break other?,
            }
        }
        let result = work(self).and_then(|()| self.execute(c"COMMIT"));
        if result.is_err() {
            // Some failures have ended it already.
            _ = self.execute(c"ROLLBACK");
        }
        result
    }

    fn run(&self, statement: *mut ffi::sqlite3_stmt, bind: impl FnOnce(&mut Values)) -> Result<(), Refused> {
        let mut values = Values { statement, last: 0, code: ffi::SQLITE_OK };
        bind(&mut values);
        let code = if values.code == ffi::SQLITE_OK {
            // SAFETY: the statement is this connection's, and what is bound lives longer than this call.
            unsafe { ffi::sqlite3_step(statement) }
        } else {
            values.code
        };
        let result = if code == ffi::SQLITE_DONE { Ok(()) } else { self.checked(code) };
        // SAFETY: as above. What was bound is forgotten before it goes.
        unsafe {
            ffi::sqlite3_reset(statement);
            ffi::sqlite3_clear_bindings(statement);
        }
        result
    }

    fn prepared(&self, text: &str) -> Result<*mut ffi::sqlite3_stmt, Refused> {
        let mut statement = ptr::null_mut();
        let length = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
        let (lasts, place) = (ffi::SQLITE_PREPARE_PERSISTENT as _, &raw mut statement);
        // SAFETY: the connection is open; the text is as long as is said.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(self.database, text.as_ptr().cast(), length, lasts, place, ptr::null_mut())
        };
        self.checked(code)?;
        Ok(statement)
    }

    fn execute(&self, text: &CStr) -> Result<(), Refused> {
        // SAFETY: the connection is open; nothing is asked for but the result code.
        let code = unsafe { ffi::sqlite3_exec(self.database, text.as_ptr(), None, ptr::null_mut(), ptr::null_mut()) };
        self.checked(code)
    }

    fn wait_for_others(&self, time: Duration) {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_busy_timeout(self.database, time.as_millis() as c_int) };
    }

    /// The message belongs to the last call, so this has to be the next one.
    fn checked(&self, code: c_int) -> Result<(), Refused> {
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        // SAFETY: it takes a connection that failed to open, or none at all, too; the text is copied before another call.
        let message = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.database)) };
        Err(Refused { code: code & 0xff, message: message.to_string_lossy().into_owned() })
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        // SAFETY: all take null; each is this value's own, and not used again. An open transaction is rolled back.
        unsafe {
            ffi::sqlite3_finalize(self.insert);
            ffi::sqlite3_finalize(self.fill);
            ffi::sqlite3_finalize(self.mark);
            ffi::sqlite3_finalize(self.score);
            ffi::sqlite3_close(self.database);
        }
    }
}

/// Binds one value after the other; the first failure stays.
struct Values {
    statement: *mut ffi::sqlite3_stmt,
    last: c_int,
    code: c_int,
}

impl Values {
    fn bound(&mut self, bind: impl FnOnce(*mut ffi::sqlite3_stmt, c_int) -> c_int) {
        self.last += 1;
        let code = bind(self.statement, self.last);
        if self.code == ffi::SQLITE_OK {
            self.code = code;
        }
    }

    fn null(&mut self) {
        // SAFETY: the statement is prepared, here and below.
        self.bound(|statement, place| unsafe { ffi::sqlite3_bind_null(statement, place) });
    }

    fn integer(&mut self, value: impl Into<Option<i64>>) {
        let Some(value) = value.into() else { return self.null() };
        // SAFETY: see `null`.
        self.bound(|statement, place| unsafe { ffi::sqlite3_bind_int64(statement, place, value) });
    }

    fn real(&mut self, value: impl Into<Option<f64>>) {
        let Some(value) = value.into() else { return self.null() };
        // SAFETY: see `null`.
        self.bound(|statement, place| unsafe { ffi::sqlite3_bind_double(statement, place, value) });
    }

    fn text<'a>(&mut self, value: impl Into<Option<&'a str>>) {
        let Some(value) = value.into() else { return self.null() };
        let Ok(length) = c_int::try_from(value.len()) else {
            return self.bound(|_, _| ffi::SQLITE_TOOBIG);
        };
        let (bytes, free) = (value.as_ptr().cast(), ffi::SQLITE_STATIC());
        // SAFETY: see `null`; `run` unbinds the text while it is still borrowed.
        self.bound(|statement, place| unsafe { ffi::sqlite3_bind_text(statement, place, bytes, length, free) });
    }

    fn blob(&mut self, value: Option<&[u8]>) {
        let Some(value) = value else { return self.null() };
        let Ok(length) = c_int::try_from(value.len()) else {
            return self.bound(|_, _| ffi::SQLITE_TOOBIG);
        };
        let (bytes, free) = (value.as_ptr().cast(), ffi::SQLITE_STATIC());
        // SAFETY: as for `text`.
        self.bound(|statement, place| unsafe { ffi::sqlite3_bind_blob(statement, place, bytes, length, free) });
    }
}

/// Binds a row in the order of [`store::COLUMNS`].
fn bind(values: &mut Values, row: &Row) {
    values.integer(row.id);
    values.integer(row.ts);
    for name in [&row.key, &row.session, &row.router, &row.requested] {
        values.text(name.as_deref());
    }
    values.text(row.model.as_str());
    values.text(row.tier.as_deref());
    values.real(row.win_rate);
    values.real(row.threshold);
    values.integer(i64::from(row.holdout));
    for tokens in [
        row.prompt_tokens,
        row.completion_tokens,
        row.cached_tokens,
        row.cache_write_tokens,
        row.reasoning_tokens,
        i64::from(row.estimated),
    ] {
        values.integer(tokens);
    }
    for amount in [row.cost, row.router_cost, row.baseline] {
        values.integer(amount);
    }
    values.real(row.ttft_ms);
    values.real(row.total_ms);
    values.text(row.outcome.name());
    values.text(row.error.as_deref());
    values.integer(row.attempts);
    values.blob(row.features.as_deref());
    values.text(row.text.as_deref());
    values.text(row.price_version.as_str());
    for text in [&row.task, &row.tags, &row.signs, &row.response] {
        values.text(text.as_deref());
    }
}
