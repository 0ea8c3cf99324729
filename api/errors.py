"""Errors at the edge, each with a stable code and an HTTP status. `error_page.py` lists every package's.

RefoldError
├── ApiError         one class for each code, ordered by status from 400 to 500; 503 is in `unavailable`
└── FileUnreadable   file-unreadable: on the command line only
"""

from dataclasses import dataclass

from refold.schemas.errors import RefoldError


@dataclass(frozen=True)
class Fault:
    """One fault of a request: the field, header or parameter at fault, a stable word, and a sentence."""

    field: str
    code: str
    message: str


class ApiError(RefoldError):
    """An answer other than success. The first line of the class is the title, `remedy` says what to do."""

    status = 500
    retry_after: int | None = None

    def __init__(self, message: str, *faults: Fault, remedy: str | None = None) -> None:
        super().__init__(message, remedy)
        self.faults = faults
        self.headers: dict[str, str] = {}
        """Sent with the answer: the position that it reflects."""


class RequestMalformed(ApiError):
    """What came over the connection is no HTTP/1.1 request."""

    code, status = "request-malformed", 400
    remedy = "Send HTTP/1.1 as RFC 9112 has it, without TLS unless a proxy in front takes it."


class MalformedJson(ApiError):
    """The body is not JSON as RFC 8259 has it, or names a key twice."""

    code, status = "malformed-json", 400
    remedy = "Send one JSON object in UTF-8 without a BOM; each key once, no NaN, no Infinity, no NUL."


class BodyIncomplete(ApiError):
    """The connection ended before the body did."""

    code, status = "body-incomplete", 400
    remedy = "Send the whole body, as long as Content-Length says."


class KeyMissing(ApiError):
    """A command came without an Idempotency-Key."""

    code, status = "idempotency-key-missing", 400
    remedy = "Send `Idempotency-Key` with a UUID made once for each command; repeat it when you retry."


class KeyInvalid(ApiError):
    """The Idempotency-Key is empty, longer than 200 bytes or not printable ASCII."""

    code, status = "idempotency-key-invalid", 400
    remedy = "Send a UUID."


class HeaderInvalid(ApiError):
    """A header has a value that it cannot have."""

    code, status = "header-invalid", 400
    remedy = "docs/http-api.md lists the headers and their forms."


class StreamIdInvalid(ApiError):
    """The stream id in the path is not 1-200 bytes of `[A-Za-z0-9._~:-]`."""

    code, status = "stream-id-invalid", 400
    remedy = "Correct the path."


class TokenMalformed(ApiError):
    """`Refold-Min-Position` is not a position token."""

    code, status = "position-malformed", 400
    remedy = "Send the `Refold-Position` of an earlier answer as it is."


class UnknownParameter(ApiError):
    """A query parameter that means nothing at this path."""

    code, status = "parameter-unknown", 400
    remedy = "Leave it out. GET /v1/{domain} lists the read models with their columns; a column named as a parameter stands in double quotes."


class UnknownOperator(ApiError):
    """A filter does not begin with an operator that exists."""

    code, status = "operator-unknown", 400
    remedy = "Write `column=eq.value`, `column=is.null` or `column=is.not_null`."


class FilterInvalid(ApiError):
    """A filter's value does not fit its column, or there are too many filters."""

    code, status = "filter-invalid", 400
    remedy = "Send a value of the column's type."


class OrderInvalid(ApiError):
    """`order` is not a list of columns with `.asc` or `.desc`, `.nullsfirst` or `.nullslast`."""

    code, status = "order-invalid", 400
    remedy = "Write for example `order=day.desc,store_id.asc`."


class LimitInvalid(ApiError):
    """`limit` or `after_version` is not a whole number in its range."""

    code, status = "limit-invalid", 400
    remedy = "Send a whole number in the range that the message names."


class CursorInvalid(ApiError):
    """The cursor was not made by this API for this model, filter and order."""

    code, status = "cursor-invalid", 400
    remedy = "Follow the `Link` to the next page as it is, or begin again without a cursor."


class RowKeyInvalid(ApiError):
    """The key in the path does not fit the read model's key."""

    code, status = "row-key-invalid", 400
    remedy = "Write the key's columns in order, joined by commas; a value with a comma in double quotes. Or ask for the list with column=eq.value for each."


class RouteUnknown(ApiError):
    """There is nothing at this path."""

    code, status = "route-unknown", 404
    remedy = "GET /docs shows every path."


class DomainUnknown(ApiError):
    """No such domain runs here."""

    code, status = "domain-unknown", 404
    remedy = "GET /v1 lists the domains."


class CategoryUnknown(ApiError):
    """The domain has no such category."""

    code, status = "category-unknown", 404
    remedy = "GET /v1/{domain} lists the categories."


class CommandUnknown(ApiError):
    """The category has no such command."""

    code, status = "command-unknown", 404
    remedy = "GET /v1/{domain} lists the commands with their fields."


class ModelUnknown(ApiError):
    """The domain has no such read model."""

    code, status = "model-unknown", 404
    remedy = "GET /v1/{domain} lists the read models."


class StreamAbsent(ApiError):
    """The stream has no events yet."""

    code, status = "stream-absent", 404
    remedy = "If a command was just sent, its outcome says whether it is decided: GET …/commands/{command id}."


class RowAbsent(ApiError):
    """The read model has no row with this key at the answer's position."""

    code, status = "row-absent", 404
    remedy = "Send `Refold-Min-Position` with the position of the write that you wait for."


class CursorExpired(ApiError):
    """The rows that the cursor went on from have all changed since; rows would be lost or doubled."""

    code, status = "cursor-expired", 410
    remedy = "Begin again without a cursor; order by shorter values, or ask for more rows a page."


class MethodNotAllowed(ApiError):
    """The path does not take this method."""

    code, status = "method-not-allowed", 405
    remedy = "The `Allow` header names the methods."


class CommandRejected(ApiError):
    """The domain's rules refused the command; `code` is the domain's own and the answer is final."""

    code, status = "command-rejected", 409
    remedy = "The same key gives the same answer for ever; send a new command under a new key."


class VersionConflict(ApiError):
    """The stream was not at the version that If-Match or If-None-Match demanded."""

    code, status = "version-conflict", 412
    remedy = "Read the stream, decide again, and send a new command under a new key."


class PositionNotReached(ApiError):
    """The read model did not reach `Refold-Min-Position` in time."""

    code, status, retry_after = "position-not-reached", 412, 1
    remedy = "Ask again, or allow more time with `Prefer: wait=N` (at most 30)."


class HeadersTimeout(ApiError):
    """A request's headers did not end in time."""

    code, status = "headers-timeout", 408
    remedy = "Send a request's headers at once."


class BodyTooLarge(ApiError):
    """The body is larger than 1 MiB."""

    code, status = "body-too-large", 413
    remedy = "Send smaller commands."


class BodyTimeout(ApiError):
    """The body, or the next piece of a batch, did not arrive in time."""

    code, status = "body-timeout", 408
    remedy = (
        "Send the whole body within 30 s, and a batch without pauses of 60 s; end a chunked body with its last chunk."
    )


class TargetTooLong(ApiError):
    """The path with its query is too long."""

    code, status = "target-too-long", 414
    remedy = "Filter by fewer or shorter values; docs/http-api.md has the limits."


class MediaTypeUnsupported(ApiError):
    """The body is not `application/json`, or it is compressed."""

    code, status = "media-type-unsupported", 415
    remedy = "Send `Content-Type: application/json` and no Content-Encoding."


class CommandIdReused(ApiError):
    """The Idempotency-Key was used before on this stream with another body."""

    code, status = "command-id-reused", 422
    remedy = "Make a new key for a new command; repeat a key only with the same body."


class CommandUnreadable(ApiError):
    """The handler could not read the command as it stands in the log."""

    code, status = "command-unreadable", 422
    remedy = "Send it through this API or the Producer class, which check it first."


class TooManyWaiting(ApiError):
    """As many requests as this process allows are waiting already."""

    code, status, retry_after = "too-many-waiting", 429, 1
    remedy = "Send again after `Retry-After`, with the same Idempotency-Key."


class HeadersTooLarge(ApiError):
    """The headers are too many, or too long."""

    code, status = "headers-too-large", 431
    remedy = "Send fewer or shorter headers; docs/http-api.md has the limits."


class InternalError(ApiError):
    """The API failed; its log says more."""

    code, status = "internal-error", 500
    remedy = "Send again with the same Idempotency-Key; report it if it stays."


class FileUnreadable(RefoldError):
    """A file named on the command line cannot be read or written."""

    code = "file-unreadable"
    remedy = "Check the path and its permissions."
