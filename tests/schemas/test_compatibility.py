"""A corpus of changed schemas, each with its verdict; no change passes that the Avro library refuses."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import parse
from msgspec import Meta as About

from refold.schemas.avro import Schema, schema_of
from refold.schemas.compatibility import of_versions
from refold.schemas.contracts import Event, Money, Whole
from refold.schemas.freeze import Released
from refold.schemas.meta import COMMAND_META

DOC = About(description="A field.")


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Packed(Event):
    """One of each type."""

    count: Annotated[Whole, DOC]
    total: Annotated[int, DOC]
    text: Annotated[str, DOC]
    amount: Annotated[Money, DOC]
    at: Annotated[datetime, DOC]
    day: Annotated[date, DOC]
    size: Annotated[Size, DOC]
    tags: Annotated[list[str], DOC]
    prices: Annotated[list[Money], DOC]
    note: Annotated[str | None, DOC] = None
    fee: Annotated[Money | None, DOC] = None
    weight: Annotated[int, DOC] = 0


BASE = schema_of(Packed, "tests.packed")
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
Change = Callable[[Schema], object]


def field(schema: Schema, name: str) -> Schema:
    found: Schema = next(f for f in schema["fields"] if f["name"] == name)
    return found


def retype(name: str, kind: Any) -> Change:
    return lambda schema: field(schema, name).update(type=kind)


def size(**changes: Any) -> Change:
    return lambda schema: field(schema, "size")["type"].update(changes)


def add(kind: Any, **more: Any) -> Change:
    return lambda schema: schema["fields"].append({"name": "new", "type": kind, "doc": "New.", **more})


def drop(name: str) -> Change:
    return lambda schema: schema["fields"].remove(field(schema, name))


def rename(name: str, other: str, **more: Any) -> Change:
    return lambda schema: field(schema, name).update(name=other, **more)


EMPTY = {"type": "record", "name": "Nil", "doc": "Nothing.", "fields": []}
LOOP = {"type": "record", "name": "Node", "fields": [{"name": "next", "doc": "It.", "type": ["null", "Node"]}]}

CORPUS: dict[str, tuple[Change, set[tuple[str, str]]]] = {
    "nothing": (lambda _: None, set()),
    "better words": (lambda s: s.update(doc="Said better."), set()),
    "better words for a field": (lambda s: field(s, "text").update(doc="Said better."), set()),
    "added with a default": (add("int", default=0), set()),
    "added optional": (add(["null", "string"], default=None), set()),
    "added list": (add({"type": "array", "items": "long"}, default=[]), set()),
    "taken away, had a default": (drop("weight"), set()),
    "another order": (lambda s: s["fields"].insert(1, s["fields"].pop()), set()),
    "symbols in another order": (size(symbols=["large", "small"]), set()),
    "another default, in every version": (lambda s: field(s, "weight").update(default=1), set()),
    "a default given": (lambda s: field(s, "count").update(default=1), set()),
    "a default given up": (lambda s: field(s, "weight").pop("default"), set()),
    "renamed, both with defaults": (rename("weight", "mass"), set()),
    "added without a default": (add("int"), {("no-default", "$.new")}),
    "added optional without a default": (add(["null", "int"]), {("no-default", "$.new")}),
    "taken away, had no default": (drop("count"), {("no-default", "$.count")}),
    "renamed": (rename("text", "words"), {("no-default", "$.text"), ("no-default", "$.words")}),
    "renamed by an alias": (rename("text", "words", aliases=["text"]), {("alias", "$.words")}),
    "int to long": (retype("count", "long"), {("type", "$.count")}),
    "long to int": (retype("total", "int"), {("type", "$.total")}),
    "long to string": (retype("total", "string"), {("type", "$.total")}),
    "string to decimal": (retype("text", DECIMAL), {("type", "$.text")}),
    "string to bytes": (retype("text", "bytes"), {("type", "$.text")}),
    "made optional": (retype("text", ["null", "string"]), {("type", "$.text")}),
    "made required": (lambda s: field(s, "note").update(type="string", default=""), {("type", "$.note")}),
    "optional of another type": (retype("note", ["null", "long"]), {("type", "$.note")}),
    "another scale": (retype("amount", {**DECIMAL, "scale": 3}), {("logical-type", "$.amount")}),
    "another precision": (retype("amount", {**DECIMAL, "precision": 18}), {("logical-type", "$.amount")}),
    "another scale, optional": (retype("fee", ["null", {**DECIMAL, "scale": 0}]), {("logical-type", "$.fee")}),
    "another scale in a list": (
        lambda s: field(s, "prices")["type"].update(items={**DECIMAL, "scale": 0}),
        {("logical-type", "$.prices[]")},
    ),
    "time to number": (retype("at", "long"), {("logical-type", "$.at")}),
    "number to time": (
        retype("total", {"type": "long", "logicalType": "timestamp-micros"}),
        {("logical-type", "$.total")},
    ),
    "micros to millis": (retype("at", {"type": "long", "logicalType": "timestamp-millis"}), {("logical-type", "$.at")}),
    "date to number": (retype("day", "int"), {("logical-type", "$.day")}),
    "date to time": (retype("day", {"type": "long", "logicalType": "timestamp-micros"}), {("type", "$.day")}),
    "a decimal of 39 digits": (retype("amount", {**DECIMAL, "precision": 39}), {("logical-type", "$.amount")}),
    "a symbol lost": (size(symbols=["small"]), {("enum-symbols", "$.size")}),
    "a symbol gained": (size(symbols=["small", "large", "huge"]), {("enum-symbols", "$.size")}),
    "a symbol lost behind a default": (size(symbols=["small"], default="small"), {("enum-symbols", "$.size")}),
    "an enum renamed": (size(name="Extent"), {("type", "$.size")}),
    "an enum renamed by an alias": (size(name="Extent", aliases=["Size"]), {("alias", "$.size")}),
    "other items": (retype("tags", {"type": "array", "items": "long"}), {("type", "$.tags[]")}),
    "list to one": (retype("tags", "string"), {("type", "$.tags")}),
    "float": (add("float", default=0.0), {("float", "$.new")}),
    "long to double": (retype("total", "double"), {("float", "$.total")}),
    "list of optional doubles": (
        add({"type": "array", "items": ["null", "double"]}, default=[]),
        {("float", "$.new[]")},
    ),
    "recursion": (add(["null", LOOP], default=None), {("type", "$.new"), ("recursion", "$.new.next")}),
    "items of nothing": (
        add({"type": "array", "items": "null"}, default=[]),
        {("type", "$.new[]"), ("zero-byte-items", "$.new[]")},
    ),
    "items without fields": (
        add({"type": "array", "items": EMPTY}, default=[]),
        {("type", "$.new[]"), ("zero-byte-items", "$.new[]")},
    ),
    "items of no bytes": (
        add({"type": "array", "items": {"type": "fixed", "name": "Nil", "size": 0}}, default=[]),
        {("type", "$.new[]"), ("zero-byte-items", "$.new[]")},
    ),
    "map of floats": (
        add({"type": "map", "values": "float"}, default={}),
        {("type", "$.new"), ("float", "$.new{}")},
    ),
    "union of two types": (add(["null", "int", "string"], default=None), {("union", "$.new")}),
    "null last": (add(["int", "null"], default=0), {("union", "$.new")}),
    "a field without doc": (lambda s: field(s, "text").pop("doc"), {("no-doc", "$.text")}),
    "a schema without doc": (lambda s: s.update(doc=""), {("no-doc", "$")}),
    "an envelope of ones own": (lambda s: s["fields"][0]["type"]["fields"].pop(), {("envelope", "$.meta")}),
    "an event becomes a command": (lambda s: s["fields"][0].update(type=COMMAND_META), {("envelope", "$.meta")}),
    "a text for a number": (add("int", default="0"), {("default-type", "$.new")}),
    "a default of 33 bits": (add("int", default=2**32), {("default-type", "$.new")}),
    "a number for a boolean": (add("boolean", default=0), {("default-type", "$.new")}),
    "a value for an optional": (add(["null", "int"], default=3), {("default-type", "$.new")}),
    "a text among numbers": (
        add({"type": "array", "items": "int"}, default=[1, "x"]),
        {("default-type", "$.new")},
    ),
    "a symbol that is not there": (
        add({"type": "enum", "name": "Hue", "symbols": ["red"]}, default="blue"),
        {("default-type", "$.new")},
    ),
    "a symbol twice": (size(symbols=["small", "large", "small"]), {("avro", "$")}),
    "a name twice": (
        add({"type": "enum", "name": "Size", "symbols": ["small"]}, default="small"),
        {("avro", "$")},
    ),
    "a field twice": (lambda s: s["fields"].append(deepcopy(s["fields"][1])), {("avro", "$")}),
}


def changed(change: Change, base: Schema = BASE) -> Schema:
    schema = deepcopy(base)
    change(schema)
    return schema


def versions(*schemas: Schema) -> list[Released]:
    return [Released(f"tests.packed.Packed.v{n}.avsc", f"v{n}", schema) for n, schema in enumerate(schemas, 1)]


@pytest.mark.parametrize(("change", "expected"), CORPUS.values(), ids=CORPUS)
def test_each_change_has_its_verdict(change: Change, expected: set[tuple[str, str]]) -> None:
    found = of_versions(versions(BASE, changed(change)))
    assert {(v.rule, v.path) for v in found} == expected
    assert all(v.version == "v2" and v.file for v in found)


@pytest.mark.filterwarnings("ignore::avro.errors.IgnoredLogicalType")
@pytest.mark.parametrize(("change", "expected"), CORPUS.values(), ids=CORPUS)
def test_what_the_library_refuses_is_refused(change: Change, expected: set[tuple[str, str]]) -> None:
    try:
        old, new = parse(json.dumps(BASE)), parse(json.dumps(changed(change)))
    except AvroException:
        assert expected
        return
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # avro has no types
    ways = [checker.get_compatibility(*way) for way in ((old, new), (new, old))]
    if any(way.compatibility is not SchemaCompatibilityType.compatible for way in ways):
        assert expected


def test_every_frozen_version_counts_and_not_only_the_last() -> None:
    back = changed(add("string", default=""), changed(drop("weight")))
    field(back, "new")["name"] = "weight"
    found = of_versions(versions(BASE, changed(drop("weight")), back))
    assert [(v.rule, v.path, v.version, v.file) for v in found] == [
        ("type", "$.weight", "v3", "tests.packed.Packed.v1.avsc")
    ]


def test_a_default_that_old_records_rely_on_stays() -> None:
    second, third = changed(add("int", default=0)), changed(add("int", default=1))
    found = of_versions(versions(BASE, second, third))
    assert [(v.rule, v.path, v.file) for v in found] == [("default-changed", "$.new", "tests.packed.Packed.v2.avsc")]
