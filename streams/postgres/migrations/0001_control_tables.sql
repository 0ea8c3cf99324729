-- All that there was before versions were counted. It finds every earlier layout, or nothing, and leaves today's.
-- Served by code of version 1 and later.

-- Which migrations were applied. Read by every role at its start, whatever else it may.
CREATE TABLE IF NOT EXISTS refold.migrations (
    number int PRIMARY KEY,
    name text NOT NULL,
    served_from int NOT NULL,         -- code that knows fewer migrations than this may not serve the tables any more
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL          -- Refold's version
);
GRANT SELECT ON refold.migrations TO PUBLIC;

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
ALTER TABLE refold.set_aside ADD COLUMN IF NOT EXISTS reason text NOT NULL DEFAULT 'decode-kills';

-- Which processes run, and which code each of them has. No fold of the log: each writes its own row, and goes on without it.
CREATE TABLE IF NOT EXISTS refold.processes (
    process uuid PRIMARY KEY,         -- made anew at each start
    role text NOT NULL,               -- handler, core, models, reactors or api
    host text NOT NULL,
    pid int NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,     -- Postgres's clock; a process that lives moves it every few seconds
    version text NOT NULL,            -- Refold's
    code jsonb NOT NULL,              -- [{"domain", "file", "fingerprint"}]
    writes jsonb NOT NULL,            -- of the role models: [{"domain", "model", "fingerprint"}], the tables it can write
    standing jsonb NOT NULL DEFAULT '[]',  -- of the role handler: [{"topic", "part", "writer", "next"}], the next command to decide
    trouble text,                     -- what it waits for now, or `ended: …`; null while all goes well
    trouble_at timestamptz,           -- since when
    tables int                        -- how many migrations its code knows; null: of before versions were counted
);
ALTER TABLE refold.processes ADD COLUMN IF NOT EXISTS standing jsonb NOT NULL DEFAULT '[]';
ALTER TABLE refold.processes ALTER COLUMN standing SET DEFAULT '[]';  -- for code of before that runs on beside ours
ALTER TABLE refold.processes ADD COLUMN IF NOT EXISTS trouble text;
ALTER TABLE refold.processes ADD COLUMN IF NOT EXISTS trouble_at timestamptz;
ALTER TABLE refold.processes ADD COLUMN IF NOT EXISTS tables int;

-- What the read side keeps about its own tables.

-- Each build of a read model. Serving, shadow and retired builds are members: the models group writes them, unless detached.
CREATE TABLE IF NOT EXISTS refold.builds (
    build int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,   -- its table lies in schema refold_b<build>
    domain text NOT NULL,
    model text NOT NULL,
    fingerprint text NOT NULL,
    status text NOT NULL CHECK (status IN ('building', 'shadow', 'serving', 'retired', 'dropped')),
    detached_code text,                                   -- not null: stays where it is, at the positions of group build:<n>
    detached_reason text,
    detached_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX IF NOT EXISTS builds_one_serving ON refold.builds (domain, model) WHERE status = 'serving';

-- What the API shows of a build: its columns, its key, its categories. So a process of other code can serve it. Null: made before this was kept.
ALTER TABLE refold.builds ADD COLUMN IF NOT EXISTS served jsonb;

-- Each declaration of an SQL view that was ever shown. The serving one is what the view says now.
CREATE TABLE IF NOT EXISTS refold.views (
    domain text,
    name text,
    fingerprint text,
    serving boolean NOT NULL,
    served jsonb NOT NULL,                                -- as of refold.builds
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain, name, fingerprint)
);
CREATE UNIQUE INDEX IF NOT EXISTS views_one_serving ON refold.views (domain, name) WHERE serving;

-- Streams whose events from first_offset on wait. Build 0: for all models; else for that build alone.
CREATE TABLE IF NOT EXISTS refold.parked (
    build int,
    category text,
    stream text COLLATE "C",
    part int NOT NULL,
    first_offset bigint NOT NULL,
    code text NOT NULL,
    reason text NOT NULL,
    waiting bigint NOT NULL DEFAULT 0,                    -- events passed over so far, the first included
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (build, category, stream)
);

-- Declared views that cannot be made, each under the fingerprint of its declaration: other code may declare it otherwise, soundly.
CREATE TABLE IF NOT EXISTS refold.view_faults (
    domain text,
    view text,
    fingerprint text,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain, view, fingerprint)
);

-- Where the rows of a model stand. STABLE: within one statement it speaks of the same snapshot as the rows.
CREATE OR REPLACE FUNCTION refold.model_positions(of_domain text, of_model text)
RETURNS TABLE (topic text, part int, next_offset bigint) LANGUAGE sql STABLE AS $$
    SELECT p.topic, p.part, p.next_offset FROM refold.positions p
    WHERE p.grp = coalesce(
        (SELECT 'build:' || b.build FROM refold.builds b
         WHERE b.domain = of_domain AND b.model = of_model AND b.status = 'serving' AND b.detached_code IS NOT NULL),
        'models')
$$;

-- What every view of ours does with a write.
CREATE OR REPLACE FUNCTION refold.refuse_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is a fold of the log: its rows are not written by hand', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'read_only_sql_transaction', HINT = 'Send a command; what it decides changes the rows.';
END
$$;

-- How fresh the rows of each read model are, for whoever reads them by SQL. What the core has not folded yet is not known here.
-- Made once: to replace a view would wait for everybody who reads it.
DO $$ BEGIN
    IF to_regclass('refold.freshness') IS NULL THEN
        CREATE VIEW refold.freshness AS
        SELECT b.domain, b.model, b.detached_code,
               string_agg(c.category || '.events/' || core.part || ':' || coalesce(p.next_offset, 0), ','
                          ORDER BY c.category, core.part) AS position,
               coalesce(sum(greatest(core.next_offset - coalesce(p.next_offset, 0), 0)), 0)::bigint AS records_behind,
               coalesce(max(extract(epoch FROM now() - p.last_at)) FILTER (WHERE core.next_offset > p.next_offset), 0)::float8
                   AS seconds_behind,
               max(p.last_at) AS last_event_at
          FROM refold.builds b
          CROSS JOIN LATERAL jsonb_array_elements_text(b.served -> 'categories') AS c(category)
          LEFT JOIN refold.positions core
            ON core.grp = 'core' AND right(core.topic, length(c.category) + 7) = c.category || '.events'
          LEFT JOIN refold.positions p
            ON (p.topic, p.part) = (core.topic, core.part)
           AND p.grp = CASE WHEN b.detached_code IS NULL THEN 'models' ELSE 'build:' || b.build END
         WHERE b.status = 'serving'
         GROUP BY b.build, b.domain, b.model, b.detached_code;
        COMMENT ON VIEW refold.freshness IS 'One row for each read model: where its rows stand in the log, and how far that is behind what is folded.';
        COMMENT ON COLUMN refold.freshness.detached_code IS 'Not null: the rows stay where they are, for this reason.';
        COMMENT ON COLUMN refold.freshness.position IS 'As the API''s Refold-Position: topic/partition:next offset.';
        COMMENT ON COLUMN refold.freshness.records_behind IS 'Records that the core has folded and the model has not; 0: as fresh as it can be.';
        COMMENT ON COLUMN refold.freshness.seconds_behind IS 'Age of the last record that the rows show, of the slowest partition that is behind; else 0.';
        COMMENT ON COLUMN refold.freshness.last_event_at IS 'When the last record that the rows show was appended, by the broker''s clock.';
    END IF;
END $$;

-- What the reactors keep: nothing that the log does not explain. Drop it with their positions, and they begin again at 0.

-- A reactor's state of each stream that it reads, after the event with this version. Stale rows are known by version and fingerprint.
CREATE TABLE IF NOT EXISTS refold.reactor_states (
    reactor text,
    stream text COLLATE "C",
    version bigint NOT NULL,
    state bytea NOT NULL,
    fingerprint text NOT NULL,
    PRIMARY KEY (reactor, stream)
) WITH (fillfactor = 70);

-- Streams whose events from first_offset on wait for one reactor. Reading from 0 again tries them again.
CREATE TABLE IF NOT EXISTS refold.reactor_parked (
    reactor text,
    stream text COLLATE "C",
    category text NOT NULL,
    part int NOT NULL,
    first_offset bigint NOT NULL,
    code text NOT NULL,
    reason text NOT NULL,
    waiting bigint NOT NULL DEFAULT 0,                    -- events passed over so far, the first included
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (reactor, stream)
);
