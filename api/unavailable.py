"""Errors of right requests that cannot be answered now: 503 in most cases. A later request may succeed."""

from refold.api.errors import ApiError


class AppendUnknown(ApiError):
    """Kafka did not acknowledge the command in time; the command may still arrive."""

    code, status, retry_after = "append-unknown", 503, 2
    remedy = "Send it again with the same Idempotency-Key: it takes effect only once."


class Stopping(ApiError):
    """The process is stopping and no longer waits for the request. A command may have arrived."""

    code, status, retry_after = "stopping", 503, 1
    remedy = "Send it again, to another process if there is one. Repeat a command with the same Idempotency-Key."


class QueryTimeout(ApiError):
    """The query took longer than the time limit."""

    code, status, retry_after = "query-timeout", 503, 5
    remedy = "Filter by columns of the key, or lower `limit`."


class NotPrepared(ApiError):
    """This process needs topics, tables or views that do not exist yet."""

    code, status, retry_after = "not-prepared", 503, 2
    remedy = "Start the workers once: they make them (`refold status`). Then this process answers without a restart."


class ModelNotBuilt(ApiError):
    """This code declares the read model, but nobody has built its table yet. All other read models are served."""

    code, status, retry_after = "model-not-built", 503, 10
    remedy = "Build it with this code: `refold replay rebuild NAME --execute`."


class ReadModelFailed(ApiError):
    """The read model, or a declared SQL view, cannot be made or read from its declaration. All others are served."""

    code, status = "read-model-failed", 503
    remedy = "Correct the declaration that the message names; `refold status` lists all that fail."


class LogUnreadable(ApiError):
    """The events of the stream could not be read from Kafka in time."""

    code, status, retry_after = "log-unreadable", 503, 2
    remedy = "Send again; ask for fewer events with `limit`."


class StreamUnreadable(ApiError):
    """An event of the stream cannot be read, or Refold set it aside because it kills the process; `errors` names its place."""

    code, status = "stream-unreadable", 503
    remedy = "Upgrade Refold or the domain (`refold schemas log-check` names the event), then let the stream go on with `refold replay release`."
