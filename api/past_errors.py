"""Errors of questions about the past: streams as they were, and why a row or an outcome is as it is."""

from refold.api.errors import ApiError


class TimeInvalid(ApiError):
    """`at` is no time."""

    code, status = "time-invalid", 400
    remedy = (
        "Write RFC 3339 with an offset, at most 6 digits of a second, or a day (midnight UTC): at=2026-01-31T12:00:00Z."
    )


class VersionNotReached(ApiError):
    """The stream has not reached the version that was asked for."""

    code, status, retry_after = "version-not-reached", 412, 1
    remedy = "Ask for a version up to the one that the message names, or again once the stream has moved on."


class TimeNotReached(ApiError):
    """Records appended before the time that was asked for may still come, or are not folded yet."""

    code, status, retry_after = "time-not-reached", 412, 1
    remedy = "Ask for an earlier time, or again later; without `at` the newest state is answered."


class StreamTooLong(ApiError):
    """A past state would be folded from more events than one request folds."""

    code, status = "stream-too-long", 422
    remedy = "Read its events with `after_version` and `limit`, or today's state; neither has this limit."
