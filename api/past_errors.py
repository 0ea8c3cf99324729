"""Errors of questions about the past: streams as they were, and why a row or an outcome is as it is."""

from refold.api.errors import ApiError


class TimeInvalid(ApiError):
    """`at` is not a valid time."""

    code, status = "time-invalid", 400
    remedy = "Write RFC 3339 with an offset and at most 6 decimals of a second, or a day (midnight UTC): at=2026-01-31T12:00:00Z."


class VersionNotReached(ApiError):
    """The stream has not reached the requested version."""

    code, status, retry_after = "version-not-reached", 412, 1
    remedy = "Ask for a version up to the one that the message names, or ask again later."


class TimeNotReached(ApiError):
    """Records from before the requested time may still arrive, or are not folded yet."""

    code, status, retry_after = "time-not-reached", 412, 1
    remedy = "Ask for an earlier time, or ask again later. Leave `at` out for the newest state."


class StreamTooLong(ApiError):
    """The past state needs more events than one request folds."""

    code, status = "stream-too-long", 422
    remedy = "Read the stream's events with `after_version` and `limit`, or its newest state; neither has this limit."


class ViewNotExplained(ApiError):
    """A declared SQL view is no fold of events; the rows of the tables that it reads are."""

    code, status = "view-not-explained", 422
    remedy = "Explain the rows of the read models that the message names."


class TraceUnknown(ApiError):
    """No command and no correlation has this id."""

    code, status = "trace-unknown", 404
    remedy = "Send a command's id, the Idempotency-Key that it was sent with, or a correlation id. A command counts once Kafka has it."
