"""Exit codes of every process of Refold, commands and workers (docs/cli.md lists them)."""

DONE = 0
FAILED = 1
USAGE = 2
DIFFERENT = 3
PRECONDITION = 4
"""A precondition does not hold, such as a log or a server that refuses: started again, the process would end in the same way."""
UNREACHABLE = 5
WORK_FAILED = 70
"""A worker's fold or attempt failed or never ended: its supervisor starts it again, and its note tells which record it was at."""
READER_FAILED = 71
"""The thread that reads Kafka failed: the process is started again."""
INTERRUPTED = 130
