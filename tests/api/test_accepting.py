"""`Accept` is kept at every path: an answer of another media type is a refusal that names what there is."""

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.http.wire.accepting import ARRAY, CSV, JSON, OBJECT, accepted
from refold.api.reading_errors import NotAcceptable

Client = TestClient[Litestar]
PATHS = {
    "/v1": "application/json, text/html",
    "/v1/retail": "application/json, text/html",
    "/v1/streams/retail/basket/b1": "application/json",
    "/v1/streams/retail/basket?stream=b1": "application/json",
    "/v1/streams/retail/basket/b1/commands/k1": "application/json",
    "/v1/retail/store_daily/330,2026-01-01": "application/json, application/vnd.pgrst.object+json",
    "/v1/retail/store_daily/330,2026-01-01/explain": "application/json",
    "/v1/explain/retail/store_daily?store_id=eq.1&day=is.null": "application/json",
    "/v1/trace/k1": "application/json",
    "/v1/trace?id=k1": "application/json",
    "/openapi.json": "application/json",
    "/asyncapi.json": "application/json",
    "/docs": "text/html",
    "/problems/row-absent": "application/json",
    "/registry/subjects": "application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json, application/json",
}
UNMET = ("image/png", "application/xml;q=1, */*;q=0", "text/csv;q=0.5")


@pytest.mark.parametrize("accept", UNMET)
@pytest.mark.parametrize("path", PATHS)
def test_what_cannot_be_met_is_refused_and_the_refusal_names_what_there_is(
    client: Client, path: str, accept: str
) -> None:
    answer = client.get(path, headers={"Accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].endswith(f": {PATHS[path]}")


@pytest.mark.parametrize("path", PATHS)
def test_what_can_be_met_is_never_refused(client: Client, path: str) -> None:
    one = PATHS[path].partition(",")[0]
    kind = one.partition("/")[0]
    for accept in ("*/*", f"{kind}/*", one, f"image/png, {one};q=0.1", one.upper(), ""):
        assert client.get(path, headers={"Accept": accept}).status_code != 406, accept


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_what_watches_a_process_is_answered_whatever_it_accepts(client: Client, path: str) -> None:
    assert client.get(path, headers={"Accept": "image/png"}).status_code == 200


@pytest.mark.parametrize("path", ["/v1/commands/retail/basket/OpenBasket", "/v1/commands/retail/basket/OpenBasket/"])
def test_a_command_whose_answer_nobody_could_read_is_not_sent(client: Client, world: object, path: str) -> None:
    """By the hot path and by the framework's."""
    headers = {"Idempotency-Key": "k", "Accept": "text/html"}
    answer = client.post(path, json={"basket_id": "b", "store_id": 1}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")
    assert not world.appended  # type: ignore[attr-defined]  # the fakes' own list
    batch = client.post(
        "/v1/commands", content="", headers={"Content-Type": "application/x-ndjson", "Accept": "text/csv"}
    )
    assert (batch.status_code, batch.json()["code"]) == (406, "not-acceptable")


ROWS = (JSON, ARRAY, OBJECT, CSV)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("*/*;q=0.1, text/csv", CSV),
        ("text/csv;q=0.2, application/json;q=0.3", JSON),
        ("application/json;q=0, */*", ARRAY),
        ("application/*;q=0, */*", CSV),
        ("text/*;q=0, text/csv", CSV),
        ("application/json;q=0.1, */*;q=0.2", ARRAY),
        ("image/png, text/csv;q=0.001", CSV),
        ("APPLICATION/JSON", JSON),
    ],
)
def test_the_narrowest_wish_counts_then_quality_then_order(header: str | None, found: str) -> None:
    assert accepted(header, ROWS).type == found


@pytest.mark.parametrize(
    "header", ["*/*;q=0", "application/*;q=0, text/*;q=0, */*", "text/html", "application/json;q=0"]
)
def test_nothing_that_is_there_is_wished(header: str) -> None:
    with pytest.raises(NotAcceptable):
        accepted(header, ROWS)
