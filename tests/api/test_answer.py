"""The bytes on the wire are exactly those that an answer was made of."""

import httpx
from litestar import Litestar, get
from litestar.testing import TestClient

from refold.api.http.wire.answer import Answer


def asked(path: str) -> httpx.Response:
    @get("/given")
    async def given() -> Answer:
        return Answer(b"{}", status_code=202, media_type="application/problem+json", headers={"ETag": '"7"'})

    @get("/routes", status_code=203)
    async def routes() -> Answer:
        return Answer("ä".encode(), media_type="application/json")

    with TestClient(Litestar([given, routes], openapi_config=None)) as client:
        return client.get(path)


def test_status_headers_and_body_are_the_answers_own() -> None:
    answer = asked("/given")
    assert (answer.status_code, answer.content) == (202, b"{}")
    assert dict(answer.headers) == {"etag": '"7"', "content-type": "application/problem+json", "content-length": "2"}


def test_without_a_status_the_routes_counts_and_the_length_is_in_bytes() -> None:
    answer = asked("/routes")
    assert (answer.status_code, answer.headers["content-length"]) == (203, "2")
