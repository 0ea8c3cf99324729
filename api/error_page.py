"""Every error code of every package with its HTTP status. Writes docs/errors.md (`python -m refold.api.error_page`)."""

import sys
from collections.abc import Iterator
from importlib import import_module

from refold.api.error_words import words_page
from refold.api.errors import ApiError
from refold.schemas.errors import RefoldError

PACKAGES = ("schemas", "streams", "projections", "api")
_STATUS_OF_OTHERS = {
    "bad-value": 422,
    "record-too-large": 413,
    "command-too-large": 413,
    "key-unfit": 400,
    "declaration-differs": 503,
}
_AWAY = frozenset(
    {
        "kafka-unavailable",
        "database-unavailable",
        "unreachable",
        "not-connected",
        "delivery-failed",
        "queue-full",
        "refused",
        "kafka-refused",
        "database-refused",
        "database-pooled",
        "database-newer",
        "database-older",
    }
)


def status_of(error: RefoldError) -> int:
    """The HTTP status of any error of Refold."""
    if isinstance(error, ApiError):
        return error.status
    return 503 if _away(error) else _STATUS_OF_OTHERS.get(error.code, 500)


def retry_after_of(error: RefoldError) -> int | None:
    """Seconds after which the same request may succeed, or None."""
    return error.retry_after if isinstance(error, ApiError) else 2 if _away(error) else None


def _away(error: RefoldError | type[RefoldError]) -> bool:
    """Whether a server is away or refuses this process, or the log is refused; the request itself is right."""
    return error.code in _AWAY or error.code.startswith("log-")


def catalogue() -> dict[str, type[RefoldError]]:
    """Every code of every package, with the class that carries it."""
    for apart in (
        "refold.api.unavailable",
        "refold.api.access_errors",
        "refold.api.fact_errors",
        "refold.api.past_errors",
        "refold.api.download_errors",
        "refold.api.reading_errors",
        "refold.api.change_errors",
        "refold.api.console.errors",
        "refold.api.embedded.errors",
        "refold.streams.operation.dump.errors",
        "refold.streams.domain_errors",
        "refold.streams.operation.voiding_errors",
    ):
        import_module(apart)
    for package in PACKAGES:
        try:
            import_module(f"refold.{package}.errors")
        except ModuleNotFoundError as problem:
            if problem.name != f"refold.{package}.errors":
                raise
    found = {error.code: error for error in _subclasses(RefoldError) if error.__module__.startswith("refold.")}
    return dict(sorted(found.items()))


def meaning(error: type[RefoldError]) -> str:
    """The first paragraph of the class's docstring, on one line."""
    return " ".join((error.__doc__ or "").strip().split("\n\n")[0].split())


def page() -> str:
    """The text of docs/errors.md."""
    rows = [
        f"| `{code}` | {_status(error)} | {meaning(error)} | {error.remedy} |" for code, error in catalogue().items()
    ]
    return "\n".join([_HEAD, *rows, ""]) + words_page()


def _subclasses(error: type[RefoldError]) -> Iterator[type[RefoldError]]:
    for child in error.__subclasses__():
        yield from _subclasses(child)
        if "code" in vars(child):
            yield child


def _status(error: type[RefoldError]) -> str:
    if issubclass(error, ApiError):
        return str(error.status)
    return "503" if _away(error) else str(_STATUS_OF_OTHERS.get(error.code, "-"))


_HEAD = """# Errors

Every error of Refold has a stable code. Over HTTP it is `application/problem+json` (RFC 9457): `type` is
`/problems/{code}`, which serves the text below, `code` is the code, `detail` says what happened, `remedy` what to do, and
`errors: [{field, code, message}]` names the fields, headers or parameters at fault. On the command line it is one line on
standard error. A rejection by a domain carries the domain's own code and the type `/problems/command-rejected`.
Codes without a status are not answered over HTTP.

This page is written by `python -m refold.api.error_page > docs/errors.md`; a test compares the two.

| code | status | meaning | remedy |
|---|---|---|---|"""

if __name__ == "__main__":
    sys.stdout.write(page())
