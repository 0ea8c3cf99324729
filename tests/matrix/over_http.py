"""The command API. There are no tenants in Refold, so the matrix's rows about them have nothing to be put into."""

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

from tests.matrix.rows import Row

ENTRY = "command API"
GOOD = {"basket_id": "b1", "product_id": 5, "quantity": 1, "amount": "1.10", "discount": "0.00"}
FRESH = "<a key of its own>"


@dataclass(frozen=True)
class Post:
    """A request to ScanItem, or another path. `wire` stands for the body and its framing headers, byte by byte."""

    body: bytes = b""
    headers: dict[str, str | None] = field(default_factory=dict)
    path: str = "/v1/commands/retail/basket/ScanItem"
    method: str = "POST"
    wire: bytes | None = None


def fields(**changes: Any) -> Post:
    return Post(json.dumps({name: value for name, value in (GOOD | changes).items() if value is not ...}).encode())


def raw(old: str, new: bytes) -> Post:
    return Post(json.dumps(GOOD).encode().replace(old.encode(), new))


def headers(**changes: str | None) -> Post:
    return Post(json.dumps(GOOD).encode(), {name.replace("_", "-"): value for name, value in changes.items()})


def framed(text: str, body: bytes = b"") -> Post:
    return Post(wire=text.encode() + b"\r\n\r\n" + body)


def line(**changes: Any) -> Post:
    """The same command as a line of a batch."""
    whole = {"command": "retail.basket.ScanItem", "id": "k", "data": GOOD} | changes
    return Post(json.dumps(whole).encode(), {"Content-Type": "application/x-ndjson"}, "/v1/commands")


def stream(name: str) -> Post:
    return Post(path=f"/v1/streams/retail/basket/{name}", method="GET")


JSON: dict[str, tuple[Post, str]] = {
    "no JSON": (raw("{", b""), "400 malformed-json"),
    "a key twice": (raw("{", b'{"basket_id": "a", '), "400 malformed-json $.basket_id"),
    "NaN": (raw('"1.10"', b"NaN"), "400 malformed-json NaN"),
    "1e400": (raw('"1.10"', b"1e400"), "422 bad-value $.amount"),
    "deep nesting": (Post(b"[" * 100_000), "400 malformed-json"),
    "a lone surrogate": (raw("b1", b"\\ud800"), "400 malformed-json $.basket_id"),
    "NUL": (raw("b1", b"\0"), "400 malformed-json"),
    "an escaped NUL": (raw("b1", b"\\u0000"), "400 malformed-json $.basket_id"),
    "a byte order mark": (raw("{", b"\xef\xbb\xbf{"), "400 malformed-json"),
    "not UTF-8": (raw("b1", b"\xff"), "400 malformed-json"),
}
VALUES: dict[str, tuple[Post, str]] = {
    "an unknown field": (fields(colour="red"), "422 bad-value $.colour"),
    "a missing field": (fields(amount=...), "422 bad-value $.amount"),
    "a wrong type": (fields(product_id="5"), "422 bad-value $.product_id"),
    "beyond 2^63": (fields(product_id=2**63), "422 bad-value $.product_id"),
    "far beyond 2^63": (raw("5", b"9" * 5000), "422 bad-value $.product_id"),
    "too many decimal places": (fields(amount="1.101"), "422 bad-value $.amount"),
    "a record beyond 1 MiB": (
        Post(
            json.dumps({"basket_id": "b1", "store_id": 1, "household_id": "h" * ((1 << 20) - 60)}).encode(),
            path="/v1/commands/retail/basket/OpenBasket",
        ),
        "413 record-too-large $",
    ),
}
FRAMES: dict[str, tuple[Post, str]] = {
    "a body beyond 1 MiB": (Post(b'"' + b"x" * (1 << 20) + b'"'), "413 body-too-large"),
    "a length beyond 1 MiB": (framed("Content-Length: 99999999999", b"{}"), "413 body-too-large"),
    "chunks without end": (framed("Transfer-Encoding: chunked", b"2\r\n{ \r\n"), "408 body-timeout"),
    "chunks beyond 1 MiB": (
        framed(
            "Transfer-Encoding: chunked",
            b"40000\r\n" + b" " * 0x40000 + b"\r\n" + (b"40000\r\n" + b" " * 0x40000 + b"\r\n") * 4,
        ),
        "413 body-too-large",
    ),
    "a length too great": (framed("Content-Length: 50", b"{}"), "408 body-timeout"),
    # Behind the fifth byte stands what is no request: the five are answered first, and then the connection ends.
    "a length too small": (framed("Content-Length: 5", json.dumps(GOOD).encode()), "400 malformed-json"),
    "a gzip bomb": (
        Post(gzip.compress(b" " * (50 << 20)), {"Content-Encoding": "gzip"}),
        "415 media-type-unsupported",
    ),
    "a batch without end": (
        Post(
            path="/v1/commands",
            headers={"Content-Type": "application/x-ndjson"},
            wire=b"Transfer-Encoding: chunked\r\n\r\n2\r\n{ \r\n",
        ),
        "408 body-timeout",
    ),
    "a line beyond 1 MiB": (line(data={"basket_id": "b" * (1 << 20)}), "413 body-too-large"),
}
KEYS: dict[str, tuple[Post, str]] = {
    "no key": (headers(Idempotency_Key=None), "400 idempotency-key-missing"),
    "an empty key": (headers(Idempotency_Key=""), "400 idempotency-key-invalid"),
    "a key of 10 KB": (headers(Idempotency_Key="k" * 10_000), "400 idempotency-key-invalid"),
    "a key of 10 KB in a line": (line(id="k" * 10_000), "400 idempotency-key-invalid"),
    "a key of another script": (headers(Idempotency_Key="clé"), "400 idempotency-key-invalid"),
    "a negative version": (headers(If_Match='"-1"'), "400 header-invalid If-Match"),
    "a negative version in a line": (line(expected_version=-1), "422 bad-value $.expected_version"),
    "no version": (headers(If_Match="seven"), "400 header-invalid If-Match"),
    "a time before year 1": (
        headers(Refold_Occurred_At="0001-01-01T00:00:00+01:00"),
        "400 header-invalid Refold-Occurred-At",
    ),
}
IDS: dict[str, tuple[Post, str]] = {
    "a path as id": (fields(basket_id="../../etc/passwd"), "422 bad-value $.basket_id"),
    "quotes in an id": (fields(basket_id="b'1\"; DROP"), "422 bad-value $.basket_id"),
    "an id of 10 KB": (fields(basket_id="b" * 10_000), "422 bad-value $.basket_id"),
    "an id with a composed letter": (fields(basket_id="caf\u00e9"), "422 bad-value $.basket_id"),
    "an id with a combining accent": (fields(basket_id="cafe\u0301"), "422 bad-value $.basket_id"),
    "a path as id in the path": (stream("..%2F..%2Fetc"), "404 route-unknown"),
    "dots as id in the path": (stream("%2e%2e%5cetc"), "400 stream-id-invalid"),
    "quotes in the path": (stream("b'1%22;DROP"), "400 stream-id-invalid"),
    "10 KB in the path": (stream("b" * 10_000), "400 stream-id-invalid"),
    "a combining accent in the path": (stream("cafe%CC%81"), "400 stream-id-invalid"),
}
ROWS = [Row(ENTRY, name, *row) for table in (JSON, VALUES, FRAMES, KEYS, IDS) for name, row in table.items()]

CONVERSATION = "command API, one after the other"
OPEN = {"basket_id": "<a stream of its own>", "store_id": 1}
Step = tuple[str, dict[str, Any], dict[str, str]]
"""The command, the fields that it has besides its stream, and headers. The last step's answer counts."""
OPENED: Step = ("OpenBasket", {"store_id": 1}, {"Idempotency-Key": "first"})
SCAN = {"product_id": 5, "quantity": 1, "amount": "1.10", "discount": "0.00"}
NO_WAIT = {"Idempotency-Key": "first", "Prefer": "wait=0"}
TALKS: dict[str, tuple[list[Step], str]] = {
    # The same command under way already is no fault here: both wait for its one outcome.
    "the key in flight": ([("OpenBasket", {"store_id": 1}, NO_WAIT), OPENED], "201"),
    "the key in flight, another body": (
        [("OpenBasket", {"store_id": 1}, NO_WAIT), ("OpenBasket", {"store_id": 2}, {"Idempotency-Key": "first"})],
        "422 command-id-reused",
    ),
    "the key with another body": (
        [OPENED, ("OpenBasket", {"store_id": 2}, {"Idempotency-Key": "first"})],
        "422 command-id-reused",
    ),
    "a stale version": (
        [OPENED, ("ScanItem", SCAN, {}), ("ScanItem", SCAN, {"If-Match": '"1"'})],
        "412 version-conflict 2",
    ),
    "a future version": ([OPENED, ("ScanItem", SCAN, {"If-Match": '"9"'})], "412 version-conflict 1"),
    "not new any more": ([OPENED, ("OpenBasket", {"store_id": 1}, {"If-None-Match": "*"})], "412 version-conflict 1"),
    "year 1": ([("OpenBasket", {"store_id": 1}, {"Refold-Occurred-At": "0001-01-01T00:00:00Z"})], "201"),
    "year 9999": ([("OpenBasket", {"store_id": 1}, {"Refold-Occurred-At": "9999-12-31T23:59:59.999999Z"})], "201"),
}
ROWS += [Row(CONVERSATION, name, *row) for name, row in TALKS.items()]
