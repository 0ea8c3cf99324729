"""Frozen schema files: code is compared with all of them, and what is none of them is named."""

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from msgspec import Meta as About

from refold.schemas.avro import schema_of
from refold.schemas.compatibility import violations
from refold.schemas.contracts import Category, Event, Money
from refold.schemas.errors import FrozenUnreadable
from refold.schemas.freeze import freeze, released, unfrozen

DOC = About(description="A field.")


class Packed(Event):
    """One amount."""

    amount: Annotated[Money, DOC]


PACKED = schema_of(Packed, "tests.packed")


def made(**fields: Any) -> Category:
    space = {"__doc__": "Packed.", "__annotations__": fields}
    return Category("tests.packed", (), (type("Packed", (Event,), space),))


def test_code_is_compared_with_all_files_of_its_folder(tmp_path: Path) -> None:
    first = made(amount=Annotated[Money, DOC])
    assert [(v.rule, v.version) for v in violations([first], tmp_path / "none")] == [("not-frozen", "code")]
    freeze(unfrozen([first], []), tmp_path)
    assert violations([first], tmp_path) == []
    found = violations([made(amount=Annotated[int, DOC])], tmp_path)
    assert [(v.rule, v.schema, v.version, v.file, v.path) for v in found] == [
        ("not-frozen", "tests.packed.Packed", "code", "", "$"),
        ("type", "tests.packed.Packed", "code", "tests.packed.Packed.v1.avsc", "$.amount"),
    ]
    refused = violations([made(amount=Annotated[float, DOC])], tmp_path)
    assert [(v.rule, v.version, v.path) for v in refused] == [("contract-invalid", "code", "$.amount")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tests.packed.Packed.avsc", "{}"),
        ("tests.packed.Packed.v0.avsc", "{}"),
        ("tests.packed.Packed.v1.avsc", "{"),
        ("tests.packed.Packed.v1.avsc", "[]"),
        ("tests.packed.Other.v1.avsc", json.dumps(PACKED)),
    ],
)
def test_a_file_that_is_no_frozen_schema_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FrozenUnreadable, match=name):
        released(tmp_path)


def test_versions_are_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        (tmp_path / f"tests.packed.Packed.v{number}.avsc").write_text(json.dumps(PACKED))
    assert [file.version for file in released(tmp_path)] == ["v1", "v2", "v10"]


def test_the_next_version_is_one_that_no_file_has_though_an_earlier_one_was_deleted(tmp_path: Path) -> None:
    for fields in (made(amount=Annotated[Money, DOC]), made(amount=Annotated[int, DOC])):
        freeze(unfrozen([fields], []), tmp_path)
    (tmp_path / "tests.packed.Packed.v1.avsc").unlink()
    (written,) = freeze(unfrozen([made(amount=Annotated[str, DOC])], []), tmp_path)
    assert written.name == "tests.packed.Packed.v3.avsc"
