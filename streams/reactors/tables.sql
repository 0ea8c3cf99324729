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
