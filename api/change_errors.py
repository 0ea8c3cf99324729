"""Errors of reads that ask for more than rows: for fresh ones, or for a stream of changes."""

from refold.api.errors import ApiError


class ChangesOfView(ApiError):
    """A declared SQL view has no stream of changes: which of its rows an event changes cannot be derived."""

    code, status = "changes-of-view", 422
    remedy = "Follow the changes of the read models that the message names, and read the view again when they come."


class TooOld(ApiError):
    """The read model lags behind by more than `Refold-Max-Age`, and did not catch up in time."""

    code, status, retry_after = "too-old", 412, 1
    remedy = "Ask again, allow more time with `Prefer: wait=N` (at most 30), or take older rows."
