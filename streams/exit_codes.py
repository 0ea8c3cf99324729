"""Exit codes of every process of Refold, commands and workers (docs/cli.md lists them)."""

DONE = 0
FAILED = 1
USAGE = 2
DIFFERENT = 3
PRECONDITION = 4
"""A precondition does not hold, for example a server refuses. A restarted process would end in the same way."""
UNREACHABLE = 5
WORK_FAILED = 70
"""A worker's fold or attempt failed or never ended. Its supervisor restarts it, and its note names the record at
fault."""
READER_FAILED = 71
"""The thread that reads Kafka failed; the process is restarted."""
INTERRUPTED = 130
