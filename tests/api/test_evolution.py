"""A real log with every version of retail's events, as raw bytes of the frozen schemas: every reader reads it alike."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from prometheus_client import REGISTRY

from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.api.http.resources import Resources
from refold.projections.replay.command import Replay
from refold.projections.tables.declared import declared
from refold.streams.kafka.partitioner import partition_of
from refold.streams.log.check import check_log
from refold.streams.log.topics import events_topic
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings
from tests.golden.make import FROZEN, encoded
from tests.projections.test_models import bytes_of
from tests.projections.test_replay import TABLES, fold_live, quiet
from tests.schemas.plain import to_plain
from tests.streams import broker
from tests.streams.logs import claim, record

BASKET, PRODUCT = "retail.basket", "retail.product"
BASKETS = 40
LISTED = {"product_id": 42, "department": "GROCERY", "brand": "National", "category": "SOUP", "type": "CAN", "package_size": None}  # fmt: skip
Written = tuple[str, dict[str, Any]]
PRODUCTS: list[Written] = [
    ("ProductListed.v1", LISTED),
    ("ProductRelabelled.v1", {"product_id": 42, "brand": "Private", "package_size": "330 G"}),
    ("ProductDelisted.v1", {"product_id": 42, "reason": "season_over"}),
    ("ProductListed.v2", {**LISTED, "manufacturer": 69}),
    ("ProductRebranded.v1", {"product_id": 42, "brand": "Own"}),
    ("ProductRelabelled.v1", {"product_id": 42, "brand": "Last", "package_size": "400 G"}),
    ("ProductRepacked.v1", {"product_id": 42, "package_size": "500 G"}),
]
OPENED: Written = ("BasketOpened.v1", {"store_id": 7, "household_id": None})
VOIDED: Written = ("BasketVoided.v1", {"store_id": 7, "reason": "customer has left"})
ABANDONED: Written = ("BasketAbandoned.v1", {"store_id": 7, "cause": "payment_failed", "note": "card"})


def written(category: str, version: str, body: dict[str, Any], meta: Any) -> bytes:
    """A record by the frozen schema alone: none of today's classes has a part in it."""
    schema = json.loads((Path(FROZEN[1]) / f"{category}.{version}.avsc").read_text())
    head = {"size": bytes(4), **msgspec.structs.asdict(meta)}
    return encoded(schema, {"meta": to_plain(head), **body})


def append(settings: Settings, category: str, streams: dict[str, list[Written]]) -> None:
    """The histories of some streams, each event by a command of its own, in the partitions of their keys."""
    by_part: dict[int, list[tuple[bytes | None, bytes | None]]] = {}
    for stream, history in streams.items():
        key = stream.encode()
        part = partition_of(key, settings.partitions)
        records = by_part.setdefault(part, [broker.claimed(claim(f"{part}", 1))])
        for base, (version, body) in enumerate(history):
            seq = len(records) - 1
            meta = record(f"{part}", seq, f"{category}/{stream}/{base}", stream, base, command_offset=seq)
            at = meta.occurred_at + timedelta(minutes=base)
            meta = msgspec.structs.replace(meta, category=category, occurred_at=at)
            records.append((key, written(category, version, body, meta)))
    for part, records in by_part.items():
        broker.append(settings, category, part, records)


@pytest.fixture
def log(settings: Settings) -> Settings:
    broker.prepare(settings)
    append(settings, PRODUCT, {"42": PRODUCTS})
    baskets = {f"b{i}": [OPENED, VOIDED if i % 2 else ABANDONED] for i in range(BASKETS)}
    append(settings, BASKET, {"b-open": [OPENED], **baskets})
    return settings


@pytest.fixture
def db(log: Settings) -> Iterator[Database]:
    with connect(log.dsn(), application_name="test") as connection:
        yield connection


@pytest.fixture
def api(log: Settings) -> Iterator[TestClient[Litestar]]:
    with TestClient(Resources(log, broker.DOMAINS).application()) as client:
        yield client


def upcast_records() -> float:
    return REGISTRY.get_sample_value("refold_upcast_records_total", {"group": "core"}) or 0.0


def tables(db: Database) -> dict[str, list[str]]:
    found = declared(["retail"])
    return {name: bytes_of(db, found.named(name)) for name in TABLES}


@pytest.mark.usefixtures("servers")
def test_the_core_comes_to_the_same_states_by_rows_and_by_columns(
    log: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refold.streams.core.fold.FEW", 0)
    begun = upcast_records()
    broker.fold_all(log)
    by_columns, counted = broker.tables(log), upcast_records() - begun
    with connect(log.dsn(), application_name="test") as db:
        db.execute("DROP SCHEMA refold CASCADE")
    broker.prepare(log)
    monkeypatch.setattr("refold.streams.core.fold.FEW", 10_000)
    broker.fold_all(log, records=5)
    assert broker.tables(log) == by_columns
    assert (counted, upcast_records() - begun - counted) == (2 + BASKETS // 2, 2 + BASKETS // 2)
    states = dict(broker.rows(log, "SELECT stream, convert_from(state, 'UTF8') FROM refold.streams"))
    assert json.loads(states["42"]) == {"listed": True, "brand": "Last", "package_size": "500 G"}
    assert {json.loads(states[f"b{i}"])["status"] for i in range(BASKETS)} == {"voided"}
    versions = broker.rows(log, "SELECT max(version), sum(cardinality(offsets)) FROM refold.streams JOIN refold.stream_offsets USING (category, stream)")  # fmt: skip
    assert versions == [(7, len(PRODUCTS) + 2 * BASKETS + 1)]
    assert broker.rows(log, "SELECT count(*) FROM refold.voids") == [(0,)]


@pytest.mark.usefixtures("servers")
def test_models_live_rebuilt_and_filled_are_equal_to_the_byte(log: Settings, db: Database) -> None:
    fold_live(log)
    before = tables(db)
    assert db.execute("SELECT product_id, department, brand, status FROM retail.product_sales").fetchall() == [
        (42, "GROCERY", "Last", "listed")
    ]
    ended = db.execute("SELECT status, count(*), count(closed_at) FROM retail.baskets GROUP BY 1 ORDER BY 1").fetchall()
    assert ended == [("open", 1, 0), ("voided", BASKETS, BASKETS)]
    with Replay(log) as replay:
        report = replay.execute((), quiet)
    assert {(model.model, model.differing) for model in report.models} == {(name, 0) for name in TABLES}
    assert report.fell_back == 0
    for schema in ("refold", "retail", *(f"refold_b{b}" for (b,) in db.execute("SELECT build FROM refold.builds"))):
        db.execute(f"DROP SCHEMA {schema} CASCADE".encode())
    with Replay(log) as replay:
        replay.execute((), quiet)
    assert tables(db) == before
    fold_live(log, 1)
    assert tables(db) == before, "what was applied is not applied twice"
    assert db.execute("SELECT count(*) FROM refold.parked").fetchone() == (0,)


@pytest.mark.usefixtures("servers")
def test_the_api_shows_todays_events_and_the_state_after_them(
    log: Settings, db: Database, api: TestClient[Litestar]
) -> None:
    broker.fold_all(log)
    found = api.get("/v1/streams/retail/product/42").json()
    assert [(e["version"], e["index"], e["type"], e["stored_type"]) for e in found["events"]] == [
        (1, 0, "ProductListed", "ProductListed"),
        (2, 0, "ProductRebranded", "ProductRelabelled"),
        (2, 1, "ProductRepacked", "ProductRelabelled"),
        (3, 0, "ProductDelisted", "ProductDelisted"),
        (4, 0, "ProductListed", "ProductListed"),
        (5, 0, "ProductRebranded", "ProductRebranded"),
        (6, 0, "ProductRebranded", "ProductRelabelled"),
        (6, 1, "ProductRepacked", "ProductRelabelled"),
        (7, 0, "ProductRepacked", "ProductRepacked"),
    ]
    assert found["version"] == 7
    assert found["state"] == {"listed": True, "brand": "Last", "package_size": "500 G"}
    pair = found["events"][1:3]
    assert len({(e["id"], e["offset"], e["command_id"], e["occurred_at"]) for e in pair}) == 1
    basket = api.get("/v1/streams/retail/basket/b1").json()
    assert basket["events"][1]["data"] == {"store_id": 7, "cause": "customer_left", "note": "customer has left"}
    assert basket["state"]["status"] == "voided"

    seen, path = [], "/v1/streams/retail/product/42?limit=2"
    while path:
        page = api.get(path).json()
        seen += page["events"]
        path = page["next"]
    assert seen == found["events"]

    db.execute("UPDATE refold.streams SET state = '{}', state_fingerprint = 'of other code' WHERE stream = '42'")
    assert api.get("/v1/streams/retail/product/42?limit=1").json()["state"] == found["state"]


@pytest.mark.usefixtures("servers")
def test_a_state_that_other_code_folded_is_folded_anew_from_what_is_read_today(log: Settings, db: Database) -> None:
    broker.fold_all(log)
    db.execute("UPDATE refold.streams SET state = '{}', state_fingerprint = 'of other code'")
    seq = len(PRODUCTS)
    part = partition_of(b"42", log.partitions)
    meta = msgspec.structs.replace(record(f"{part}", seq, "more", "42", 7, command_offset=seq), category=PRODUCT)
    value = written(PRODUCT, "ProductDelisted.v1", {"product_id": 42, "reason": "recalled"}, meta)
    broker.append(log, PRODUCT, part, [(b"42", value)])
    broker.fold_all(log)
    row = db.execute("SELECT convert_from(state, 'UTF8') FROM refold.streams WHERE stream = '42'").fetchone()
    assert row is not None
    assert json.loads(row[0]) == {"listed": False, "brand": "Last", "package_size": "500 G"}


@pytest.mark.usefixtures("servers")
def test_log_check_runs_the_upcasters_and_names_where_one_raises(
    log: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in log.environment().items():
        monkeypatch.setenv(name, value)
    found = check_log(log, broker.DOMAINS, None, lambda *_: None)
    assert found.failed == 0
    counts = {count.schema: (count.records, count.upcast) for count in found.schemas.values()}
    assert counts[f"{PRODUCT}.ProductRelabelled"] == (2, 2)
    assert counts[f"{BASKET}.BasketVoided"] == (BASKETS // 2, BASKETS // 2)
    assert sum(upcast for _, upcast in counts.values()) == 2 + BASKETS // 2

    upcast = broker.DOMAINS.catalog.upcasts[PRODUCT].by_class
    ((_, step),) = upcast.items()

    def fails(_: object) -> tuple[()]:
        raise ValueError("no such label")

    monkeypatch.setitem(step.__dict__, "apply", fails)
    assert cli.run(["schemas", "log-check"]) == exits.DIFFERENT
    out, err = capsys.readouterr()
    place = f"{events_topic(log.topic_prefix, PRODUCT)}/{partition_of(b'42', log.partitions)}"
    assert f"{place}@2: {PRODUCT}.ProductRelabelled: upcast-failed: " in out
    assert "ValueError: no such label" in out
    assert f"2 events cannot be read, the first at {place}@2." in err


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("few", [0, 10_000], ids=["by columns", "by rows"])
def test_an_event_that_its_upcaster_cannot_read_holds_its_stream_and_no_other(
    log: Settings, db: Database, api: TestClient[Litestar], monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """It counts: version and outcome are there; the state is broken, and the models park the stream."""
    monkeypatch.setattr("refold.streams.core.fold.FEW", few)

    def fails(_: object) -> tuple[()]:
        raise ValueError("no such cause")

    ((_, step),) = broker.DOMAINS.catalog.upcasts[BASKET].by_class.items()
    monkeypatch.setitem(step.__dict__, "apply", fails)
    fold_live(log)
    held = "SELECT count(*) FROM refold.streams WHERE state_fingerprint = 'broken' AND version = 2 AND state IS NULL"
    assert db.execute(held.encode()).fetchone() == (BASKETS // 2,)
    parked = db.execute("SELECT code, waiting, count(*) FROM refold.parked GROUP BY 1, 2").fetchall()
    assert parked == [("upcast-failed", 1, BASKETS // 2)]
    ended = db.execute("SELECT status, count(*) FROM retail.baskets GROUP BY 1 ORDER BY 1").fetchall()
    assert ended == [("open", 1 + BASKETS // 2), ("voided", BASKETS // 2)]
    refused = api.get("/v1/streams/retail/basket/b1")
    assert (refused.status_code, refused.json()["code"]) == (503, "stream-unreadable")
    place = "SELECT part, offsets[cardinality(offsets)] FROM refold.stream_offsets WHERE stream = 'b1' ORDER BY offsets DESC"
    part, offset = db.execute(place.encode()).fetchall()[0]
    (fault,) = refused.json()["errors"]
    assert (fault["field"], fault["code"]) == (
        f"{events_topic(log.topic_prefix, BASKET)}/{part}@{offset}",
        "upcast-failed",
    )
    assert api.get("/v1/streams/retail/basket/b1?limit=1").json()["version"] == 2, "what lies before it can be read"


@pytest.mark.usefixtures("servers")
def test_an_event_that_is_set_aside_refuses_its_own_page_and_none_before_or_behind_it(
    log: Settings, db: Database, api: TestClient[Litestar]
) -> None:
    fold_live(log)
    ((part, offsets),) = db.execute("SELECT part, offsets FROM refold.stream_offsets WHERE stream = '42'").fetchall()
    assert len(offsets) == len(PRODUCTS), "one row holds them all"
    db.execute(
        "INSERT INTO refold.set_aside (grp, topic, part, record_offset, reason) VALUES ('core', %s, %s, %s, 'decode-kills')",
        (events_topic(log.topic_prefix, PRODUCT), part, offsets[3]),
    )
    pages = [api.get(f"/v1/streams/retail/product/42?after_version={after}&limit=1") for after in range(len(PRODUCTS))]
    assert [page.status_code for page in pages] == [200, 200, 200, 503, 200, 200, 200]
    assert pages[3].json()["errors"][0]["field"].endswith(f"@{offsets[3]}")
    assert api.get("/v1/streams/retail/product/42").status_code == 503
