"""The description holds: what a pattern of it matches the code takes, and what the code takes it matches."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from refold.api.errors import ApiError
from refold.api.http.commands import request as commands
from refold.api.http.describe import text_patterns
from refold.api.http.describe.body_schemas import command_schemas
from refold.api.http.describe.openapi import document
from refold.api.http.describe.text_patterns import position
from refold.api.http.describe.value_patterns import (
    conditions_schema,
    filter_schema,
    key_schema,
    name_of,
    order_schema,
    select_schema,
)
from refold.api.http.reads.freshness import read_max_age
from refold.api.http.reads.language.query_string import read_query
from refold.api.http.reads.planning.plan import plan_query
from refold.api.http.reads.planning.resources import check_name
from refold.api.http.reads.positions import read_token
from refold.api.http.reads.row_keys import key_of_path
from refold.api.http.reads.stream_past import read_past
from refold.projections.declaring.served_types import _SPELLINGS
from refold.projections.tables.serving import ServedColumn, ServedModel, served_models
from refold.schemas.contracts import is_stream_id
from refold.schemas.errors import RefoldError
from refold.schemas.exact_text import instant_of
from refold.schemas.validate import from_fields
from refold.streams.domain import Domains, load_domains

few = settings(max_examples=30)
DOMAINS = load_domains(["retail"])
TYPES = [*_SPELLINGS, *(f"{name}[]" for name in _SPELLINGS if name not in {"jsonb", "bytea", "bpchar"})]
EVERY = ServedModel(
    "shelf",
    "every",
    "A column of each type.",
    tuple(ServedColumn(kind.replace(" ", "_").replace("[]", "_s"), kind, nullable=True, doc="") for kind in TYPES),
    ("integer", "date"),
    ("retail.basket",),
)
ODD = ServedModel(
    "shelf",
    "odd",
    "Names that mean something else in a query.",
    tuple(
        ServedColumn(name, "integer", nullable=True, doc="")
        for name in ("limit", "and", "not", "count", 'a "b".c', "größe")
    ),
    ("limit",),
    ("retail.basket",),
)


def matching(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    """Texts that the schema allows."""
    found = st.from_regex(re.compile(schema["pattern"].removesuffix("$") + r"\Z"))
    return found.filter(lambda text: schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 10**9))


def passes(read: Callable[[str], object]) -> Callable[[str], bool]:
    """Whether the code takes a text."""

    def taken(text: str) -> bool:
        try:
            return read(text) is not False
        except (RefoldError, ValueError):
            return False

    return taken


def header(name: str, read: Callable[..., object]) -> Callable[[str], bool]:
    return passes(lambda text: read({name: text}))


TAKEN: dict[str, tuple[dict[str, Any], Callable[[str], bool]]] = {
    "a stream id": (text_patterns.STREAM, is_stream_id),
    "an Idempotency-Key": (text_patterns.KEY, header("idempotency-key", commands.read_command_id)),
    "an actor": (text_patterns.NOTE, passes(lambda text: commands._short_text({"refold-actor": text}, "refold-actor"))),
    "If-Match": (text_patterns.VERSION, header("if-match", commands.expected_version)),
    "Refold-Occurred-At": (text_patterns.TIME, header("refold-occurred-at", commands._occurred_at)),
    "at": (text_patterns.TIME_OR_DAY, passes(lambda text: read_past(f"at={quote(text)}".encode()))),
    "Refold-Max-Age": (text_patterns.AGE, header("refold-max-age", read_max_age)),
    "Refold-Min-Position": (
        position(DOMAINS.categories.values()),
        passes(lambda text: read_token(text, [f"{name}.events" for name in DOMAINS.categories])),
    ),
}
FREE = st.text(max_size=8) | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=210)
NEAR = {
    "a stream id": st.text("aZ09._~:-/ é", max_size=210),
    "If-Match": st.from_regex(r'\A"?[0-9]{0,20}"?\Z'),
    "Refold-Max-Age": st.from_regex(r"\A-?[0-9]{0,10}\.?[0-9]{0,7}\Z"),
    "Refold-Min-Position": st.from_regex(r"\A(retail\.(basket|nothing)\.events/[0-9]{0,5}:[0-9]{0,19},?){1,2}\Z"),
}
"""Texts near the border of what is allowed."""


@pytest.mark.parametrize("name", TAKEN)
@few
@given(st.data())
def test_a_header_or_id_is_taken_exactly_if_its_pattern_matches(name: str, data: st.DataObject) -> None:
    schema, taken = TAKEN[name]
    assert taken(data.draw(matching(schema)))
    if name in {"Refold-Occurred-At", "at"}:
        return  # they take more forms than their patterns have: see below
    text = data.draw(NEAR.get(name, FREE)).strip(" \t").replace('"', "" if "key" in name.lower() else '"')
    allowed = re.search(schema["pattern"].removesuffix("$") + r"\Z", text)
    fits = schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 10**9)
    assert taken(text) == bool(allowed and fits), text


@given(st.datetimes(*(datetime.fromisoformat(f"{year}-01-01") for year in (1000, 9999))), st.integers(-840, 840))
def test_each_time_that_python_writes_is_in_the_pattern(moment: datetime, minutes: int) -> None:
    for one in (moment.replace(tzinfo=timezone(timedelta(minutes=minutes))), moment.replace(tzinfo=UTC)):
        assert re.search(text_patterns.TIME["pattern"], one.isoformat())
        assert instant_of(one.isoformat()) == one
    assert re.search(text_patterns.TIME_OR_DAY["pattern"], moment.date().isoformat())


def planned(model: ServedModel, *parameters: tuple[str, str]) -> bool:
    """Whether the query becomes a plan."""
    raw = "&".join(f"{quote(name)}={quote(value)}" for name, value in parameters)
    try:
        plan_query(model, read_query(raw.encode(), check=check_name(model)))
    except ApiError as problem:
        raise AssertionError((raw, problem.message)) from problem
    return True


@pytest.mark.parametrize("model", [EVERY, ODD], ids=lambda model: model.name)
@few
@given(st.data())
def test_each_query_that_the_patterns_match_becomes_a_plan(model: ServedModel, data: st.DataObject) -> None:
    column = data.draw(st.sampled_from(model.columns))
    asked = {
        name_of(column.name): filter_schema(column),
        "and": conditions_schema(model),
        "select": select_schema(model),
        "order": order_schema(model),
    }
    name = data.draw(st.sampled_from(sorted(asked)))
    text = data.draw(matching(asked[name]))
    assume(name != "order" or text.count(",") < 20)
    assert planned(model, (name, text))


@few
@given(st.data())
def test_each_key_that_the_pattern_matches_is_a_key(data: st.DataObject) -> None:
    """One of a column of the type alone, and one of two columns."""
    kind = data.draw(st.sampled_from(TYPES))
    columns = (ServedColumn("a", kind, nullable=False, doc=""), ServedColumn("b", "date", nullable=False, doc=""))
    for key in (("a",), ("a", "b")):
        if kind.endswith("[]") and len(key) > 1:
            continue
        model = ServedModel("shelf", "one", "", columns, key, ("retail.basket",))
        text = data.draw(matching(key_schema(model)))
        assert len(key_of_path(model, quote(text, safe=",").encode())) == len(key)


@pytest.mark.parametrize("category", DOMAINS.categories.values(), ids=lambda category: category.name)
@few
@given(st.data())
def test_each_text_of_a_body_that_its_schema_allows_is_taken(category: Any, data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(category.commands))
    fields = {
        name: data.draw(values(field))
        for name, field in command_schemas(category)[command.__name__]["properties"].items()
    }
    assert is_stream_id(category.stream_of(from_fields(fields, command)))


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a field."""
    if "anyOf" in schema:
        return st.one_of(*map(values, schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "string":
        return matching(schema)
    return st.none() if schema["type"] == "null" else st.integers(schema["minimum"], schema["maximum"])


def test_every_parameter_has_a_schema_and_every_answer_its_headers() -> None:
    found = document(DOMAINS, served_models(DOMAINS.names))
    for path, verbs in found["paths"].items():
        for operation in verbs.values():
            for one in operation["parameters"]:
                assert one["schema"], (path, one["name"])
                assert one["description"], (path, one["name"])
            for status, answer in operation["responses"].items():
                assert "X-Request-Id" in answer["headers"], (path, status)
            assert {"400", "404", "406", "408", "414", "429", "431", "500", "503"} <= operation["responses"].keys(), (
                path
            )


def test_every_row_and_problem_says_what_it_always_has(domains: Domains) -> None:
    schemas = document(domains, served_models(domains.names))["components"]["schemas"]
    for model in served_models(domains.names):
        row = schemas[f"{model.domain}.{model.name}"]
        assert row["required"] == [column.name for column in model.columns]
    assert {"type", "title", "status", "code", "detail"} <= set(schemas["Problem"]["required"])
