-- The book of calls in SQLite; `postgres.sql` has the same tables and columns.
--
-- Money is in picodollars (1e-12 US dollars), null where unpriced. Times are microseconds since 1970 (UTC), durations
-- milliseconds. An id is the writing process's own number (upper half) and a count (lower half). Tags are a JSON object;
-- signs of failure are names with commas between them, empty where there are none, null where nobody has looked. The
-- response is the provider's id of the answer. An outcome is a score in 0..1 of the answer that `model` gave, null for the
-- one that was handed on; of several for one call, source and model the one with the latest `ts` holds. Of the source
-- `ferroute:drawn` it is no score but a note: that the call was drawn for a shadow, with that probability.
-- `PRAGMA user_version` has the version of these tables.
CREATE TABLE IF NOT EXISTS calls (
    id                 INTEGER PRIMARY KEY,
    ts                 INTEGER NOT NULL,
    key                TEXT,
    session            TEXT,
    router             TEXT,
    requested          TEXT,
    model              TEXT NOT NULL,
    tier               TEXT,
    win_rate           REAL,
    threshold          REAL,
    holdout            INTEGER NOT NULL,
    prompt_tokens      INTEGER NOT NULL,
    completion_tokens  INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    estimated          INTEGER NOT NULL,
    cost               INTEGER,
    router_cost        INTEGER,
    baseline           INTEGER,
    ttft_ms            REAL,
    total_ms           REAL NOT NULL,
    outcome            TEXT NOT NULL,
    error              TEXT,
    attempts           INTEGER NOT NULL,
    features           BLOB,
    text               TEXT,
    price_version      TEXT NOT NULL,
    task               TEXT,
    tags               TEXT,
    signs              TEXT,
    response           TEXT
);

CREATE INDEX IF NOT EXISTS calls_ts ON calls (ts);
CREATE INDEX IF NOT EXISTS calls_response ON calls (response) WHERE response IS NOT NULL;

CREATE TABLE IF NOT EXISTS outcomes (
    call_id     INTEGER NOT NULL,
    source      TEXT NOT NULL,
    score       REAL NOT NULL,
    probability REAL,
    ts          INTEGER NOT NULL,
    model       TEXT
);

CREATE INDEX IF NOT EXISTS outcomes_call_id ON outcomes (call_id);
