-- What a database was at 9ecd076: the first: core and read models.
CREATE SCHEMA refold;
CREATE TABLE IF NOT EXISTS refold.topics (
    topic text PRIMARY KEY,
    topic_id text NOT NULL,
    partitions int NOT NULL
);
CREATE TABLE IF NOT EXISTS refold.positions (
    grp text,
    topic text,
    part int,
    next_offset bigint NOT NULL,
    last_at timestamptz,
    PRIMARY KEY (grp, topic, part)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS refold.claims (
    category text,
    part int,
    epoch bigint NOT NULL,
    rules int NOT NULL,
    writer uuid,
    next_seq bigint NOT NULL,
    last_command_offset bigint NOT NULL,
    last_hash bytea NOT NULL,
    PRIMARY KEY (category, part)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS refold.streams (
    category text,
    stream text COLLATE "C",
    version bigint NOT NULL,
    state bytea,
    state_fingerprint text NOT NULL,
    PRIMARY KEY (category, stream)
) WITH (fillfactor = 70);
CREATE TABLE IF NOT EXISTS refold.stream_offsets (
    category text,
    stream text COLLATE "C",
    first_version bigint,
    part int NOT NULL,
    offsets bigint[] NOT NULL,
    PRIMARY KEY (category, stream, first_version)
);
CREATE TABLE IF NOT EXISTS refold.outcomes (
    key bytea PRIMARY KEY,
    category text NOT NULL,
    stream text NOT NULL,
    command_id uuid NOT NULL,
    body_hash bytea NOT NULL,
    code text,
    message text,
    base_version bigint NOT NULL,
    events int NOT NULL,
    part int NOT NULL,
    first_offset bigint NOT NULL,
    next_offset bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS refold.voids (
    topic text,
    part int,
    first_offset bigint,
    last_offset bigint NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (topic, part, first_offset)
);
CREATE TABLE IF NOT EXISTS refold.builds (
    build int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain text NOT NULL,
    model text NOT NULL,
    fingerprint text NOT NULL,
    status text NOT NULL CHECK (status IN ('building', 'shadow', 'serving', 'retired', 'dropped')),
    detached_code text,
    detached_reason text,
    detached_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX IF NOT EXISTS builds_one_serving ON refold.builds (domain, model) WHERE status = 'serving';
CREATE TABLE IF NOT EXISTS refold.parked (
    build int,
    category text,
    stream text COLLATE "C",
    part int NOT NULL,
    first_offset bigint NOT NULL,
    code text NOT NULL,
    reason text NOT NULL,
    waiting bigint NOT NULL DEFAULT 0,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (build, category, stream)
);
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
    NULL;
END
$$;

INSERT INTO refold.topics (topic, topic_id, partitions) VALUES ('retail.basket.events', 'aTopicId', 4);
INSERT INTO refold.positions (grp, topic, part, next_offset, last_at) VALUES ('core', 'retail.basket.events', 0, 42, '2026-11-21 12:00:00+00');
INSERT INTO refold.positions (grp, topic, part, next_offset, last_at) VALUES ('models', 'retail.basket.events', 0, 40, NULL);
INSERT INTO refold.claims (category, part, epoch, rules, writer, next_seq, last_command_offset, last_hash) VALUES ('retail.basket', 0, 3, 1, '0b6c4b0e-6f0f-4f6e-9d60-1f2f2f7d7a01', 17, 16, '\x00ff');
INSERT INTO refold.streams (category, stream, version, state, state_fingerprint) VALUES ('retail.basket', 'b-1', 2, '\x01', 'f00d');
INSERT INTO refold.streams (category, stream, version, state, state_fingerprint) VALUES ('retail.basket', 'b-2', 1, NULL, 'newer');
INSERT INTO refold.stream_offsets (category, stream, first_version, part, offsets) VALUES ('retail.basket', 'b-1', 1, 0, '{3,5}');
INSERT INTO refold.outcomes (key, category, stream, command_id, body_hash, code, message, base_version, events, part, first_offset, next_offset) VALUES ('\x0a', 'retail.basket', 'b-1', '0b6c4b0e-6f0f-4f6e-9d60-1f2f2f7d7a02', '\x0b', NULL, NULL, 0, 1, 0, 3, 4);
INSERT INTO refold.outcomes (key, category, stream, command_id, body_hash, code, message, base_version, events, part, first_offset, next_offset) VALUES ('\x0c', 'retail.basket', 'b-1', '0b6c4b0e-6f0f-4f6e-9d60-1f2f2f7d7a03', '\x0d', 'basket-closed', 'It is paid.', 2, 0, 0, 6, 7);
INSERT INTO refold.voids (topic, part, first_offset, last_offset, reason) VALUES ('retail.basket.events', 0, 8, 9, 'void');
INSERT INTO refold.builds (domain, model, fingerprint, status) VALUES ('retail', 'store_daily', 'abc', 'retired');
INSERT INTO refold.builds (domain, model, fingerprint, status) VALUES ('retail', 'store_daily', 'abd', 'serving');
INSERT INTO refold.parked (build, category, stream, part, first_offset, code, reason, waiting) VALUES (0, 'retail.basket', 'b-3', 0, 12, 'undecodable', 'short', 2);
