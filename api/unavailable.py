"""Errors of right requests that cannot be answered now: 503 in most cases. A later request may succeed."""

from refold.api.errors import ApiError


class AppendUnknown(ApiError):
    """Kafka did not acknowledge the command in time; it may arrive yet."""

    code, status, retry_after = "append-unknown", 503, 2
    remedy = "Send again with the same Idempotency-Key: it takes effect once."


class Stopping(ApiError):
    """The process is stopping, and the request took longer than a stop waits; a command may have arrived."""

    code, status, retry_after = "stopping", 503, 1
    remedy = "Send again, to another process if there is one; a command with the same Idempotency-Key."


class QueryTimeout(ApiError):
    """The query took longer than a query may."""

    code, status, retry_after = "query-timeout", 503, 5
    remedy = "Filter by columns of the key, or lower `limit`."


class NotPrepared(ApiError):
    """Topics, tables or views that this process needs are not there yet."""

    code, status, retry_after = "not-prepared", 503, 2
    remedy = "Wait for the workers' first start (`refold status`); then it answers by itself."


class ModelNotBuilt(ApiError):
    """This code declares the read model, and no table of it has been built yet; all others are served."""

    code, status, retry_after = "model-not-built", 503, 10
    remedy = "Build it with this code: `refold replay rebuild NAME --execute`."


class ReadModelFailed(ApiError):
    """The read model, or a declared SQL view, cannot be made or read as it is declared; all others are served."""

    code, status = "read-model-failed", 503
    remedy = "Correct the declaration that the message names; `refold status` lists every one that fails."


class LogUnreadable(ApiError):
    """The events of the stream could not be read from Kafka in time."""

    code, status, retry_after = "log-unreadable", 503, 2
    remedy = "Send again; ask for fewer events with `limit`."


class StreamUnreadable(ApiError):
    """An event of the stream cannot be read, or is set aside because decoding it kills the process; `errors` names its place."""

    code, status = "stream-unreadable", 503
    remedy = "Upgrade Refold or the domain; `refold schemas log-check` names the event, `refold replay release` lets the stream go on."
