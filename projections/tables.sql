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
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'refold.builds'::regclass AND attname = 'served') THEN
        ALTER TABLE refold.builds ADD COLUMN served jsonb;
    END IF;
END $$;

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

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'refold_analyst') THEN
        CREATE ROLE refold_analyst NOLOGIN;
    END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    NULL;  -- a database whose owner may not make roles works without this one
END
$$;

-- Of what is ours it may read how fresh the rows are, and nothing else.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'refold_analyst')
       AND NOT has_table_privilege('refold_analyst', 'refold.freshness', 'SELECT') THEN
        GRANT USAGE ON SCHEMA refold TO refold_analyst;
        GRANT SELECT ON refold.freshness TO refold_analyst;
    END IF;
END
$$;
