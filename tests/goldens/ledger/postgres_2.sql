-- The book of calls in PostgreSQL; `sqlite.sql` has the same tables and columns, and says what they hold.
-- The comment on `calls` has the version of these tables.
CREATE TABLE IF NOT EXISTS calls (
    id                 BIGINT PRIMARY KEY,
    ts                 BIGINT NOT NULL,
    key                TEXT,
    session            TEXT,
    router             TEXT,
    requested          TEXT,
    model              TEXT NOT NULL,
    tier               TEXT,
    win_rate           DOUBLE PRECISION,
    threshold          DOUBLE PRECISION,
    holdout            BIGINT NOT NULL,
    prompt_tokens      BIGINT NOT NULL,
    completion_tokens  BIGINT NOT NULL,
    cached_tokens      BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    reasoning_tokens   BIGINT NOT NULL,
    estimated          BIGINT NOT NULL,
    cost               BIGINT,
    router_cost        BIGINT,
    baseline           BIGINT,
    ttft_ms            DOUBLE PRECISION,
    total_ms           DOUBLE PRECISION NOT NULL,
    outcome            TEXT NOT NULL,
    error              TEXT,
    attempts           BIGINT NOT NULL,
    features           BYTEA,
    text               TEXT,
    price_version      TEXT NOT NULL,
    task               TEXT,
    tags               TEXT,
    signs              TEXT
);

CREATE INDEX IF NOT EXISTS calls_ts ON calls (ts);

CREATE TABLE IF NOT EXISTS outcomes (
    call_id     BIGINT NOT NULL,
    source      TEXT NOT NULL,
    score       DOUBLE PRECISION NOT NULL,
    probability DOUBLE PRECISION,
    ts          BIGINT NOT NULL
);

CREATE INDEX IF NOT EXISTS outcomes_call_id ON outcomes (call_id);
