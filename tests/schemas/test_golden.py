"""Bytes that were written once are read, and written again, as on the first day: by rows and by columns."""

import json
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from refold.retail.schemas import CATEGORIES
from refold.retail.schemas.basket import BasketAbandoned, Cause
from refold.retail.schemas.product import ProductListed, ProductRebranded, ProductRepacked
from refold.schemas.avro import resolved, schema_id
from refold.schemas.catalog import Catalog, Kind, Writer, frozen_schemas
from refold.schemas.codec import Codec, encode_claim, encode_rejection, encode_voiding, read_envelope, read_fields
from refold.schemas.columns.decoder import ROW, ColumnDecoder, ColumnReader, read_heads
from refold.schemas.columns.upcast import SUB, todays_events
from refold.schemas.contracts import Event
from refold.schemas.envelope import COMMAND, EVENT, as_command_meta, as_meta, frame
from refold.schemas.freeze import platform_schemas, unfrozen
from refold.schemas.meta import Claim, Voiding
from tests.golden.make import FOLDER, FROZEN, frozen_files
from tests.schemas.plain import from_plain, to_plain

CATALOG = Catalog(CATEGORIES, frozen_schemas(FROZEN[1:]))
GOLDEN = sorted(FOLDER.glob("*.json"))
_IDS = {"writer", "command_id", "body_hash", "event_id", "voiding_id"}
_ALL_ENVELOPE = (Kind.CLAIM, Kind.VOIDING)


def _file(path: Path) -> tuple[Writer, list[tuple[bytes, dict[str, Any]]]]:
    found = json.loads(path.read_text(encoding="utf-8"))
    writer = CATALOG.by_id[found["schema_id"]]
    return writer, [(bytes.fromhex(record["hex"]), record["fields"]) for record in found["records"]]


def _flat(fields: dict[str, Any], writer: Writer) -> dict[str, Any]:
    """The fields under the names of columns."""
    envelope = fields if writer.kind in _ALL_ENVELOPE else fields["meta"]
    body = {} if writer.kind in _ALL_ENVELOPE else {name: value for name, value in fields.items() if name != "meta"}
    return {**{f"m_{name}": value for name, value in envelope.items() if name != "size"}, **body}


def test_every_frozen_schema_has_its_golden_file() -> None:
    assert {path.stem for path in GOLDEN} == {name for name, _ in frozen_files()}


def test_code_and_frozen_files_agree() -> None:
    assert unfrozen(CATEGORIES, frozen_schemas(FROZEN[1:])) == []


def test_the_platforms_records_are_frozen_as_they_are_in_code() -> None:
    frozen = {schema["name"]: schema for schema in frozen_schemas(FROZEN[:1])}
    assert frozen == {schema["name"]: schema for schema in platform_schemas()}


def test_frozen_files_say_which_id_they_have() -> None:
    ids = [schema_id(schema) for _, schema in frozen_files()]
    assert len(ids) == len(set(ids))
    assert set(ids) == set(CATALOG.by_id)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_row_by_row(path: Path) -> None:
    writer, records = _file(path)
    for raw, fields in records:
        head, body = read_fields(writer, raw)
        assert to_plain({**{f"m_{name}": value for name, value in head.items()}, **body}) == _flat(fields, writer)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@pytest.mark.parametrize("thin", [True, False])
def test_by_columns(path: Path, thin: bool) -> None:
    writer, records = _file(path)
    values = [raw for raw, _ in records]
    decoded = ColumnReader(writer, thin=thin).read(values, read_heads(values).rows_of(writer.id))
    assert (decoded.bad, decoded.fell_back) == ([], 0)
    dropped = {f"m_{name}" for name in _IDS} if thin else set()
    for row, (_, fields) in zip(decoded.frame.drop(ROW).to_dicts(), records, strict=True):
        expected = {name: value for name, value in _flat(fields, writer).items() if name not in dropped}
        assert to_plain(row) == expected


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_same_values_give_the_same_bytes(path: Path) -> None:
    writer, records = _file(path)
    for raw, plain in records:
        if writer.kind in _ALL_ENVELOPE:
            control = read_envelope(raw)
            assert isinstance(control, Claim | Voiding)
            assert (encode_claim(control) if isinstance(control, Claim) else encode_voiding(control)) == raw
            continue
        envelope = resolved(writer.schema["fields"][0]["type"]["fields"])
        head = tuple(from_plain(f["type"], plain["meta"][f["name"]]) for f in envelope if f["name"] != "size")
        body = [from_plain(f["type"], plain[f["name"]]) for f in resolved(writer.fields)]
        written = COMMAND.write(as_command_meta(head)) if writer.kind is Kind.COMMAND else EVENT.write(as_meta(head))
        assert frame(writer.id, written, writer.body.write(body)) == raw
        assert (COMMAND if writer.kind is Kind.COMMAND else EVENT).write(head) == written


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_todays_classes_read_and_write_them(path: Path) -> None:
    writer, records = _file(path)
    codec = Codec(CATALOG)
    for raw, _ in records:
        if writer.kind is Kind.COMMAND:
            head, command = codec.read_command(raw)
            assert CATALOG.current(type(command)).id != writer.id or codec.command(head, command) == raw
        elif writer.kind is Kind.REJECTION:
            meta, rejection = codec.read_event(raw)
            assert encode_rejection(meta, rejection) == raw  # type: ignore[arg-type]  # a schema of this kind holds a rejection
        elif writer.kind is Kind.EVENT:
            meta, event = codec.read_event(raw)
            assert type(event) is writer.cls
            if CATALOG.is_retired(writer.cls):
                continue
            assert CATALOG.current(writer.cls).id != writer.id or codec.event(meta, event) == raw


TODAY: dict[str, list[list[Event]]] = {
    "retail.basket.BasketVoided.v1": [
        [BasketAbandoned(store_id=330, cause=Cause.OTHER, note="31198570044")],
        [BasketAbandoned(store_id=1, cause=Cause.OTHER, note="7")],
    ],
    "retail.product.ProductRelabelled.v1": [
        [
            ProductRebranded(product_id=819063, brand="31198570044"),
            ProductRepacked(product_id=819063, package_size="31198570044"),
        ],
        [ProductRebranded(product_id=2**62, brand="7"), ProductRepacked(product_id=2**62, package_size="7")],
    ],
}


def test_every_retired_event_says_below_what_it_is_read_as() -> None:
    retired = {w.name for c in CATEGORIES for w in CATALOG.retired_writers(c.name, into=[e.__name__ for e in c.events])}
    assert {name.split(".")[2] for name in TODAY} == retired


@pytest.mark.parametrize("name", TODAY)
def test_retired_events_are_read_as_todays_for_ever(name: str) -> None:
    """By rows and by columns; a changed upcaster that changes the past is a changed line above."""
    writer, records = _file(FOLDER / f"{name}.json")
    values = [raw for raw, _ in records]
    assert [Codec(CATALOG).read_events(raw)[1] for raw in values] == [tuple(events) for events in TODAY[name]]
    names = {type(event).__name__ for events in TODAY[name] for event in events}
    decoder = ColumnDecoder(CATALOG, thin=True)
    todays = todays_events(decoder, writer.category, sorted(names), values, read_heads(values))
    assert (todays.bad, todays.fell_back, todays.upcast) == ([], 0, len(values))
    for row, events in enumerate(TODAY[name]):
        for sub, event in enumerate(events):
            frame = todays.frames[type(event).__name__].filter((pl.col(ROW) == row) & (pl.col(SUB) == sub))
            assert frame.select(event.__struct_fields__).to_dicts() == [msgspec.to_builtins(event)]


def test_a_product_listed_before_manufacturers_were_known_has_none() -> None:
    _, records = _file(FOLDER / "retail.product.ProductListed.v1.json")
    for raw, fields in records:
        event = Codec(CATALOG).read_event(raw)[1]
        assert isinstance(event, ProductListed)
        assert (event.manufacturer, event.brand) == (None, fields["brand"])
