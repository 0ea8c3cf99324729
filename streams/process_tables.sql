-- Which processes run, and which code each of them has. No fold of the log: each writes its own row, and goes on without it.
CREATE SCHEMA IF NOT EXISTS refold;

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
    standing jsonb NOT NULL,          -- of the role handler: [{"topic", "part", "writer", "next"}], the next command to decide
    trouble text,                     -- what it waits for now, or `ended: …`; null while all goes well
    trouble_at timestamptz            -- since when
);
