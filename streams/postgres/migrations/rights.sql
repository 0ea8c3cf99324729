-- What no dump of a database carries: the role of readers is the server's. Run at a start that finds it without its right.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'refold_analyst') THEN
        CREATE ROLE refold_analyst NOLOGIN;
    END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    NULL;  -- a database whose owner may not make roles works without this one
END
$$;

-- Of what is ours it may read how fresh the rows are, and which stream's commands were rejected, for which reason; nothing else.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'refold_analyst')
       AND NOT (has_table_privilege('refold_analyst', 'refold.freshness', 'SELECT')
                AND has_column_privilege('refold_analyst', 'refold.outcomes', 'code', 'SELECT')) THEN
        GRANT USAGE ON SCHEMA refold TO refold_analyst;
        GRANT SELECT ON refold.freshness TO refold_analyst;
        GRANT SELECT (category, stream, code) ON refold.outcomes TO refold_analyst;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;  -- the owner of the tables starts some time, too
END
$$;
