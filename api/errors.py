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
    """The bytes on the connection are not an HTTP/1.1 request."""

    code, status = "request-malformed", 400
    remedy = "Send HTTP/1.1 by RFC 9112, without TLS unless a proxy in front decrypts it."


class MalformedJson(ApiError):
    """The body is not JSON by RFC 8259, or has the same key twice."""

    code, status = "malformed-json", 400
    remedy = "Send one JSON object in UTF-8 without a BOM, with each key once, and without NaN, Infinity and NUL."


class BodyIncomplete(ApiError):
    """The connection ended in the middle of the body."""

    code, status = "body-incomplete", 400
    remedy = "Send the whole body, of the length in Content-Length."


class KeyMissing(ApiError):
    """The request has no Idempotency-Key; each command needs one."""

    code, status = "idempotency-key-missing", 400
    remedy = "Send `Idempotency-Key` with a new UUID for each command; repeat it when you retry."


class KeyInvalid(ApiError):
    """The Idempotency-Key is empty, longer than 200 bytes or not printable ASCII."""

    code, status = "idempotency-key-invalid", 400
    remedy = "Send a UUID."


class HeaderInvalid(ApiError):
    """A header has an invalid value."""

    code, status = "header-invalid", 400
    remedy = "docs/http-api.md lists the headers and their forms."


class StreamIdInvalid(ApiError):
    """The stream id in the path is not 1-200 bytes of `[A-Za-z0-9._~:-]`."""

    code, status = "stream-id-invalid", 400
    remedy = "Correct the path."


class TokenMalformed(ApiError):
    """A position, in `Refold-Min-Position` or `since`, is not one that an answer of this platform has."""

    code, status = "position-malformed", 400
    remedy = "Send the `Refold-Position` of an earlier answer unchanged."


class UnknownParameter(ApiError):
    """This path has no such query parameter."""

    code, status = "parameter-unknown", 400
    remedy = "Leave it out. GET /v1/{domain} lists the read models with their columns; put a column that has a parameter's name in double quotes."


class UnknownOperator(ApiError):
    """A filter does not begin with a known operator."""

    code, status = "operator-unknown", 400
    remedy = "Write `column=operator.value`, such as `day=gte.2026-01-01`; the message lists the operators."


class FilterInvalid(ApiError):
    """A parameter cannot be read, or the value of a filter does not fit its column."""

    code, status = "filter-invalid", 400
    remedy = "Correct the parameter that the message names; a value is written as an answer prints it, and is of its column's type."


class OrderInvalid(ApiError):
    """`order` is not a list of columns with `.asc` or `.desc`, `.nullsfirst` or `.nullslast`."""

    code, status = "order-invalid", 400
    remedy = "Write for example `order=day.desc,store_id.asc`."


class LimitInvalid(ApiError):
    """`limit`, `offset` or another number of the query is not a whole number in its range."""

    code, status = "limit-invalid", 400
    remedy = "Send a whole number in the range that the message names."


class CursorInvalid(ApiError):
    """The cursor was not made by this API for this model, filter and order."""

    code, status = "cursor-invalid", 400
    remedy = "Use the `Link` to the next page unchanged, or start again without a cursor."


class RowKeyInvalid(ApiError):
    """The key in the path does not fit the read model's key."""

    code, status = "row-key-invalid", 400
    remedy = "Write the values of the key's columns in order, joined by commas; put a value with a comma in double quotes. Or ask for the list with column=eq.value for each column."


class RouteUnknown(ApiError):
    """This path does not exist."""

    code, status = "route-unknown", 404
    remedy = "GET /docs shows every path."


class DomainUnknown(ApiError):
    """This server has no domain of that name."""

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
    remedy = "If you have just sent a command, ask for its outcome: GET …/commands/{command id}."


class RowAbsent(ApiError):
    """The read model has no row with this key at the answer's position."""

    code, status = "row-absent", 404
    remedy = "If you wait for a write, send its position in `Refold-Min-Position`."


class CursorExpired(ApiError):
    """All rows at the cursor's place have changed since, so the next page could miss or repeat rows."""

    code, status = "cursor-expired", 410
    remedy = "Start again without a cursor; order by shorter values, or ask for more rows a page."


class MethodNotAllowed(ApiError):
    """The path does not support this method."""

    code, status = "method-not-allowed", 405
    remedy = "Use a method that the `Allow` header names."


class CommandRejected(ApiError):
    """The domain's rules refused the command. `code` comes from the domain; the answer is final."""

    code, status = "command-rejected", 409
    remedy = "Send a new command under a new key: the same key always gets the same answer."


class VersionConflict(ApiError):
    """The stream was not at the version that If-Match or If-None-Match required."""

    code, status = "version-conflict", 412
    remedy = "Read the stream, decide again, and send a new command under a new key."


class PositionNotReached(ApiError):
    """The read model did not reach `Refold-Min-Position` in time."""

    code, status, retry_after = "position-not-reached", 412, 1
    remedy = "Ask again, or allow more time with `Prefer: wait=N` (at most 30)."


class HeadersTimeout(ApiError):
    """The request's headers did not arrive in time."""

    code, status = "headers-timeout", 408
    remedy = "Send all headers of a request at once."


class BodyTooLarge(ApiError):
    """The body is larger than 1 MiB."""

    code, status = "body-too-large", 413
    remedy = "Send smaller commands."


class BodyTimeout(ApiError):
    """The body, or the next part of a batch, did not arrive in time."""

    code, status = "body-timeout", 408
    remedy = (
        "Send the whole body within 30 s, or a batch without a pause of 60 s; end a chunked body with its last chunk."
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
    """This stream already has a command with the same Idempotency-Key and another body."""

    code, status = "command-id-reused", 422
    remedy = "Make a new key for each new command; repeat a key only with the same body."


class CommandUnreadable(ApiError):
    """The handler could not read the command's record in the log."""

    code, status = "command-unreadable", 422
    remedy = "Send it through this API or the Producer class, which check each command first."


class TooManyWaiting(ApiError):
    """The process already has its largest number of waiting requests."""

    code, status, retry_after = "too-many-waiting", 429, 1
    remedy = "Send it again after `Retry-After` seconds; repeat a command with the same Idempotency-Key."


class HeadersTooLarge(ApiError):
    """The request has too many headers, or too long ones."""

    code, status = "headers-too-large", 431
    remedy = "Send fewer or shorter headers; docs/http-api.md has the limits."


class InternalError(ApiError):
    """The API failed; its log says more."""

    code, status = "internal-error", 500
    remedy = "Send it again with the same Idempotency-Key. If it fails again, report a bug."


class FileUnreadable(RefoldError):
    """A file named on the command line cannot be read or written."""

    code = "file-unreadable"
    remedy = "Check the path and its permissions."
