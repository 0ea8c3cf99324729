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

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'refold_analyst') THEN
        CREATE ROLE refold_analyst NOLOGIN;
    END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    NULL;  -- a database whose owner may not make roles works without this one
END
$$;
