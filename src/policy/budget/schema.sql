-- Budgets of the gateway and what of them is lent to its replicas, in PostgreSQL and in SQLite.
--
-- Money is in picodollars (1e-12 US dollars), times are microseconds since 1970 (UTC).
--
-- At any time, and whoever dies: spent + the sum of the amounts of its leases <= most, unless `most` was lowered or a call
-- cost more than it could.
CREATE TABLE IF NOT EXISTS budgets (
    -- Whose money, and for how long.
    id     TEXT NOT NULL,
    -- The period: from this time until before that one.
    starts BIGINT NOT NULL,
    ends   BIGINT NOT NULL,
    -- The limit.
    most   BIGINT NOT NULL,
    -- What all replicas have reported, and the leases of those that died.
    spent  BIGINT NOT NULL,
    -- When a replica last went away with less than it needed: the others return at once what they do not use.
    wanted BIGINT NOT NULL,
    PRIMARY KEY (id, starts)
);

CREATE INDEX IF NOT EXISTS budgets_wanted ON budgets (wanted);

CREATE TABLE IF NOT EXISTS leases (
    budget   TEXT NOT NULL,
    starts   BIGINT NOT NULL,
    replica  TEXT NOT NULL,
    -- What it may still spend; all of it counts as spent once it has expired.
    amount   BIGINT NOT NULL,
    -- What it has reported of this lease, which `budgets.spent` has as well.
    spent    BIGINT NOT NULL,
    -- The latest `budgets.wanted` upon which it has returned what it did not use.
    answered BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    PRIMARY KEY (budget, starts, replica)
);

CREATE TABLE IF NOT EXISTS budget_tables (
    version BIGINT NOT NULL
);
