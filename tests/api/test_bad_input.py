"""A table of bad requests: the status, code and field of each answer. Nothing bad is ever appended."""

import json
import re
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

PATH = "/v1/commands/retail/basket/ScanItem"
GOOD = {"basket_id": "b1", "product_id": 5, "quantity": 1, "amount": "1.10", "discount": "0.00"}
KEY = {"Idempotency-Key": "11111111-1111-4111-8111-111111111111", "Content-Type": "application/json"}


def body(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in (GOOD | changes).items() if value is not ...}).encode()


def raw(old: str, new: str) -> bytes:
    return json.dumps(GOOD).replace(old, new).encode()


BODIES: list[tuple[str, bytes, int, str, str | None]] = [
    ("empty", b"", 400, "malformed-json", "line 1 column 1"),
    ("cut off", b'{"basket_id": "b1"', 400, "malformed-json", "line 1 column 19"),
    ("not an object", b"[]", 422, "bad-value", "$"),
    ("a key twice", b'{"basket_id":"a","basket_id":"b"}', 400, "malformed-json", "$.basket_id"),
    ("NaN", raw('"1.10"', "NaN"), 400, "malformed-json", "NaN"),
    ("Infinity", raw('"1.10"', "-Infinity"), 400, "malformed-json", "-Infinity"),
    ("byte order mark", b"\xef\xbb\xbf" + body(), 400, "malformed-json", "line 1 column 1"),
    ("not UTF-8", raw("b1", "b\x00").replace(b"\\u0000", b"\xff"), 400, "malformed-json", None),
    ("raw NUL", raw("b1", "b\x00").replace(b"\\u0000", b"\x00"), 400, "malformed-json", None),
    ("escaped NUL", raw("b1", "\\u0000"), 400, "malformed-json", "$.basket_id"),
    ("lone surrogate", raw("b1", "\\ud800"), 400, "malformed-json", "$.basket_id"),
    ("deep nesting", b"[" * 100_000, 400, "malformed-json", "byte 32"),
    ("trailing text", body() + b"x", 400, "malformed-json", None),
    ("missing field", body(product_id=...), 422, "bad-value", "$.product_id"),
    ("extra field", body(colour="red"), 422, "bad-value", "$.colour"),
    ("wrong type", body(product_id="5"), 422, "bad-value", "$.product_id"),
    ("float for a whole number", body(quantity=1.5), 422, "bad-value", "$.quantity"),
    ("boolean for a number", body(quantity=True), 422, "bad-value", "$.quantity"),
    ("over 32 bits", body(quantity=2**31), 422, "bad-value", "$.quantity"),
    ("over 64 bits", body(product_id=2**63), 422, "bad-value", "$.product_id"),
    ("below the least", body(product_id=-1), 422, "bad-value", "$.product_id"),
    ("too many decimal places", body(amount="1.101"), 422, "bad-value", "$.amount"),
    ("too many digits", body(amount="12345678901.00"), 422, "bad-value", "$.amount"),
    ("a huge exponent", raw('"1.10"', "1e400"), 422, "bad-value", "$.amount"),
    ("no number at all", body(amount="abc"), 422, "bad-value", "$.amount"),
    ("NaN as text", body(amount="NaN"), 422, "bad-value", "$.amount"),
    ("null", body(amount=None), 422, "bad-value", "$.amount"),
    ("a path as stream id", body(basket_id="../../etc"), 422, "bad-value", "$.basket_id"),
    ("an empty stream id", body(basket_id=""), 422, "bad-value", "$.basket_id"),
    ("a stream id too long", body(basket_id="b" * 201), 422, "bad-value", "$.basket_id"),
    ("another script", body(basket_id="корзина"), 422, "bad-value", "$.basket_id"),
    ("too large", b'{"basket_id":"' + b"b" * (1 << 20) + b'"}', 413, "body-too-large", None),
]


@pytest.mark.parametrize(
    ("sent", "status", "code", "field"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES]
)
def test_bad_bodies(
    client: TestClient[Litestar], world: Any, sent: bytes, status: int, code: str, field: str | None
) -> None:
    answer = client.post(PATH, content=sent, headers=KEY)
    check(answer, status, code, field)
    assert not world.appended


HEADERS: list[tuple[str, dict[str, str | None], int, str]] = [
    ("no key", {"Idempotency-Key": None}, 400, "idempotency-key-missing"),
    ("an empty key", {"Idempotency-Key": ""}, 400, "idempotency-key-invalid"),
    ("a key too long", {"Idempotency-Key": "k" * 201}, 400, "idempotency-key-invalid"),
    ("a key of 10 KB", {"Idempotency-Key": "k" * 10_000}, 400, "idempotency-key-invalid"),
    ("an unprintable key", {"Idempotency-Key": "a\tb"}, 400, "idempotency-key-invalid"),
    ("no version", {"If-Match": "7"}, 400, "header-invalid"),
    ("a negative version", {"If-Match": '"-1"'}, 400, "header-invalid"),
    ("a weak tag", {"If-Match": 'W/"7"'}, 400, "header-invalid"),
    ("any version", {"If-Match": "*"}, 400, "header-invalid"),
    ("a huge version", {"If-Match": '"99999999999999999999"'}, 400, "header-invalid"),
    ("both conditions", {"If-Match": '"7"', "If-None-Match": "*"}, 400, "header-invalid"),
    ("not a version", {"If-None-Match": '"7"'}, 400, "header-invalid"),
    ("waiting too long", {"Prefer": "wait=31"}, 400, "header-invalid"),
    ("waiting no number", {"Prefer": "wait=soon"}, 400, "header-invalid"),
    ("a time without offset", {"Refold-Occurred-At": "2026-01-31T12:00:00"}, 400, "header-invalid"),
    ("no time", {"Refold-Occurred-At": "yesterday"}, 400, "header-invalid"),
    ("a seventh digit", {"Refold-Occurred-At": "2026-12-31T23:59:59.9999999Z"}, 400, "header-invalid"),
    ("a leap second", {"Refold-Occurred-At": "2026-12-31T23:59:60Z"}, 400, "header-invalid"),
    ("24 o'clock", {"Refold-Occurred-At": "2026-12-31T24:00:00Z"}, 400, "header-invalid"),
    ("year 10000 in UTC", {"Refold-Occurred-At": "9999-12-31T23:59:59-00:01"}, 400, "header-invalid"),
    ("an actor too long", {"Refold-Actor": "a" * 201}, 400, "header-invalid"),
    ("another media type", {"Content-Type": "text/plain"}, 415, "media-type-unsupported"),
    ("no media type", {"Content-Type": None}, 415, "media-type-unsupported"),
    ("another charset", {"Content-Type": "application/json; charset=latin-1"}, 415, "media-type-unsupported"),
    ("compressed", {"Content-Encoding": "gzip"}, 415, "media-type-unsupported"),
]


@pytest.mark.parametrize(("changes", "status", "code"), [row[1:] for row in HEADERS], ids=[row[0] for row in HEADERS])
def test_bad_headers(
    client: TestClient[Litestar], world: Any, changes: dict[str, str | None], status: int, code: str
) -> None:
    sent = {name: value for name, value in (KEY | changes).items() if value is not None}
    check(client.post(PATH, content=body(), headers=sent), status, code, None)
    assert not world.appended


PATHS: list[tuple[str, str, int, str]] = [
    ("POST", "/v1/commands/retail/basket/Nothing", 404, "command-unknown"),
    ("POST", "/v1/commands/retail/nothing/ScanItem", 404, "category-unknown"),
    ("POST", "/v1/commands/nothing/basket/ScanItem", 404, "domain-unknown"),
    ("GET", "/v1/commands/retail/basket/ScanItem", 405, "method-not-allowed"),
    ("DELETE", "/v1/retail/store_daily", 405, "method-not-allowed"),
    ("GET", "/nothing", 404, "route-unknown"),
    ("GET", "/v1/nothing", 404, "domain-unknown"),
    ("GET", "/v1/nothing/store_daily", 404, "domain-unknown"),
    ("GET", "/v1/retail/nothing", 404, "model-unknown"),
    ("GET", "/v1/streams/retail/basket/a%20b", 400, "stream-id-invalid"),
    ("GET", "/v1/streams/retail/basket/b1?limit=-1", 400, "limit-invalid"),
    ("GET", "/v1/streams/retail/basket/b1?colour=red", 400, "parameter-unknown"),
    ("GET", "/v1/streams/retail/basket/b1/", 404, "route-unknown"),
    ("GET", "/v1/streams/retail/basket?limit=1", 400, "stream-id-invalid"),
    ("GET", "/v1/streams/retail/basket?stream=.&command=k&limit=1", 400, "parameter-unknown"),
    ("GET", "/v1/retail/store_daily?limit=eq.5", 400, "limit-invalid"),
    ("GET", "/v1/retail/store_daily?select=eq.5", 400, "select-invalid"),
    ("GET", "/v1/retail/store_daily/330,2026-01-01?as_of=2026-01-01T00:00:00Z", 400, "parameter-unknown"),
    ("GET", "/v1/retail/store_daily/", 400, "row-key-invalid"),
    ("GET", "/v1/retail/store_daily/%2F", 400, "row-key-invalid"),
    ("GET", "/v1/retail/store_daily//?a=eq.1", 400, "parameter-unknown"),
    ("GET", "/v1/retail/store_daily?order=day.nullslast.desc", 400, "order-invalid"),
    ("GET", "/v1/streams/retail/basket/b1/commands/%01", 400, "idempotency-key-invalid"),
    ("GET", "/v1/retail/store_daily?store_id=330", 400, "operator-unknown"),
    ("GET", "/v1/retail/store_daily?store_id=like.3", 404, "operator-unfit"),
    ("GET", "/v1/retail/store_daily?filter=eq.1;drop", 400, "parameter-unknown"),
    ("GET", "/v1/retail/store_daily?store_id=eq.1%3Bdrop", 400, "filter-invalid"),
    ("GET", "/v1/retail/store_daily?store_id=eq.99999999999", 400, "filter-invalid"),
    ("GET", "/v1/retail/store_daily?day=eq.2026-02-30", 400, "filter-invalid"),
    ("GET", "/v1/retail/store_daily?revenue=eq.one", 400, "filter-invalid"),
    ("GET", "/v1/retail/store_daily?note=eq.%00", 400, "filter-invalid"),
    ("GET", "/v1/retail/store_daily?note=eq.%ff", 400, "filter-invalid"),
    ("GET", "/v1/retail/store_daily?note=is.true", 400, "filter-invalid"),
    ("GET", "/v1/retail/store_daily?" + "&".join(["store_id=eq.1"] * 101), 400, "query-too-large"),
    ("GET", '/v1/retail/store_daily?order="day"--', 400, "order-invalid"),
    ("GET", "/v1/retail/store_daily?order=hidden.asc", 400, "order-invalid"),
    ("GET", "/v1/retail/store_daily?order=day.up", 400, "order-invalid"),
    ("GET", "/v1/retail/store_daily?limit=-1", 416, "range-unsatisfiable"),
    ("GET", f"/v1/retail/store_daily?limit={2**63}", 400, "limit-invalid"),
    ("GET", "/v1/retail/store_daily?offset=10000001", 400, "query-too-large"),
    ("GET", "/v1/retail/store_daily?limit=1&limit=2", 400, "filter-invalid"),
    ("GET", "/v1/streams/retail/basket/b1?limit=1&limit=2", 400, "filter-invalid"),
    ("GET", "/registry/subjects?deleted=true&deleted=false", 400, "filter-invalid"),
    ("GET", "/v1/retail/store_daily?cursor=abc", 400, "cursor-invalid"),
    ("GET", "/v1/retail/store_daily/330", 400, "row-key-invalid"),
    ("GET", "/v1/retail/store_daily/330,2026-02-30", 400, "row-key-invalid"),
    ("GET", "/v1/retail/store_daily/330,2026-02-01,1", 400, "row-key-invalid"),
    ("GET", "/problems/nothing", 404, "route-unknown"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), PATHS, ids=[f"{row[0]} {row[1]}" for row in PATHS])
def test_bad_paths_and_queries(
    client: TestClient[Litestar], world: Any, method: str, path: str, status: int, code: str
) -> None:
    answer = client.request(method, path, content=body() if method == "POST" else None, headers=KEY)
    check(answer, status, code, None)
    assert not world.fetched


def test_no_route_takes_a_parameter_that_it_does_not_know(app: Litestar, client: TestClient[Litestar]) -> None:
    walked = 0
    for route in app.routes:
        path = re.sub(r"{[a-z_]+:?[a-z]*}", "1", route.path_format)
        path = re.sub(r"/v1/(explain/)?1/1", r"/v1/\1retail/store_daily", path)
        for method in set(getattr(route, "methods", ())) - {"OPTIONS", "HEAD"}:
            refused = client.request(method, f"{path}?bogus=1", headers=KEY, follow_redirects=False)
            assert refused.status_code in {400, 422}, (method, path, refused.text)
            assert "bogus" in refused.text or "read-only" in refused.text, (method, path, refused.text)
            walked += 1
    assert walked > 30


@pytest.mark.parametrize(
    "text", ["", "x", "retail.basket.events/2", "retail.nothing.events/0:1", "retail.basket.events/2:-1"]
)
def test_bad_positions(client: TestClient[Litestar], text: str) -> None:
    answer = client.get("/v1/retail/store_daily", headers={"Refold-Min-Position": text})
    check(answer, 400, "position-malformed", "Refold-Min-Position")


def check(answer: Any, status: int, code: str, field: str | None) -> None:
    found = answer.json()
    assert (answer.status_code, found["code"]) == (status, code), found
    assert answer.headers["content-type"] == "application/problem+json"
    assert (found["status"], found["type"]) == (status, f"/problems/{code}")
    assert found["title"]
    assert found["remedy"] or code == "bad-value"
    if field is not None:
        assert found["errors"][0]["field"] == field
    assert len(answer.content) < 4000, "an error does not echo what it was sent"
