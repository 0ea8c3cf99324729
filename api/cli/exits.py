"""Exit codes, the same for every command (docs/cli.md lists them)."""

from refold.schemas.errors import RefoldError

DONE = 0
FAILED = 1
USAGE = 2
DIFFERENT = 3
PRECONDITION = 4
UNREACHABLE = 5
INTERRUPTED = 130

BY_CODE = {
    "bad-settings": USAGE,
    "embedded-data-in-use": PRECONDITION,
    "embedded-extra-missing": PRECONDITION,
    "embedded-download-failed": UNREACHABLE,
    "not-connected": UNREACHABLE,
    "unreachable": UNREACHABLE,
}


def exit_code(error: RefoldError) -> int:
    """What a command that ends with this error exits with; an error may name its own."""
    return int(getattr(error, "exit_code", BY_CODE.get(error.code, FAILED)))
