-- The core's tables: folds of the log, nothing else. Drop the database and a replay brings back the same rows.

-- What a topic was when it was first seen: a recreated one, or another number of partitions, is refused.
CREATE TABLE IF NOT EXISTS refold.topics (
    topic text PRIMARY KEY,
    topic_id text NOT NULL,
    partitions int NOT NULL
);

-- Where each group of readers stands. Moved only by compare-and-set in the transaction of the rows it speaks for.
CREATE TABLE IF NOT EXISTS refold.positions (
    grp text,
    topic text,
    part int,
    next_offset bigint NOT NULL,
    last_at timestamptz,              -- broker's time of the last record applied
    PRIMARY KEY (grp, topic, part)
) WITH (fillfactor = 50);

-- The state of the log's rules for each partition of events, at the position of group 'core'.
CREATE TABLE IF NOT EXISTS refold.claims (
    category text,
    part int,
    epoch bigint NOT NULL,
    rules int NOT NULL,
    writer uuid,
    next_seq bigint NOT NULL,
    last_command_offset bigint NOT NULL,
    last_hash bytea NOT NULL,         -- SHA-256/128 of the last record applied; empty before the first
    PRIMARY KEY (category, part)
) WITH (fillfactor = 50);

-- The decider's state of each stream. A fingerprint that is not the code's means: fold this stream anew.
CREATE TABLE IF NOT EXISTS refold.streams (
    category text,
    stream text COLLATE "C",
    version bigint NOT NULL,
    state bytea,
    state_fingerprint text NOT NULL,
    PRIMARY KEY (category, stream)
) WITH (fillfactor = 70);

-- Where the events of a stream lie in the log: one row for each stream and chunk, never changed.
CREATE TABLE IF NOT EXISTS refold.stream_offsets (
    category text,
    stream text COLLATE "C",
    first_version bigint,
    part int NOT NULL,
    offsets bigint[] NOT NULL,
    PRIMARY KEY (category, stream, first_version)
);

-- One row for each command that was decided, kept for ever: the client's answer.
CREATE TABLE IF NOT EXISTS refold.outcomes (
    key bytea PRIMARY KEY,            -- refold.schemas.identity.outcome_key
    category text NOT NULL,
    stream text NOT NULL,
    command_id uuid NOT NULL,
    body_hash bytea NOT NULL,
    code text,                        -- null: accepted; else the reason of the rejection
    message text,
    base_version bigint NOT NULL,
    events int NOT NULL,
    part int NOT NULL,
    first_offset bigint NOT NULL,
    next_offset bigint NOT NULL
);

-- Rejections by code, counted without a look at what was accepted.
CREATE INDEX IF NOT EXISTS outcomes_rejected ON refold.outcomes (category, code) WHERE code IS NOT NULL;

-- Offsets that do not count, as ranges: every reader of events skips them.
CREATE TABLE IF NOT EXISTS refold.voids (
    topic text,
    part int,
    first_offset bigint,
    last_offset bigint NOT NULL,
    reason text NOT NULL,             -- 'void' by the rules, or 'foreign' (no readable envelope)
    PRIMARY KEY (topic, part, first_offset)
);

-- Records on which a process of the group died: their bodies are not decoded or folded again until they are released.
-- No fold of the log: found by trying, and found again where the table was lost.
CREATE TABLE IF NOT EXISTS refold.set_aside (
    grp text,
    topic text,
    part int,
    record_offset bigint,
    reason text NOT NULL DEFAULT 'decode-kills',          -- or 'code-kills': the domain's own code does
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, part, record_offset, grp)
);
-- A database of before has no reasons. Asked first: ALTER TABLE would wait for every reader, at each start of a process.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'refold.set_aside'::regclass AND attname = 'reason') THEN
        ALTER TABLE refold.set_aside ADD COLUMN reason text NOT NULL DEFAULT 'decode-kills';
    END IF;
END $$;
