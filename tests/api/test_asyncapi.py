"""The log as AsyncAPI: every topic, every record that may be in it, and the judgement of the standard's own parser."""

import json
from pathlib import Path
from typing import Any

import pytest

from refold.api.http.describe.asyncapi import document
from refold.schemas.avro import schema_id
from refold.streams.domain import load_domains
from tests.node import packages, run

DOMAINS = load_domains(["retail"])
JUDGE = """
import fs from 'fs';
import { Parser } from '@asyncapi/parser';
import { AvroSchemaParser } from '@asyncapi/avro-schema-parser';
const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
const found = await parser.parse(fs.readFileSync('asyncapi.json', 'utf8'));
console.log(JSON.stringify({ channels: found.document?.channels().all().length ?? 0,
                             faults: found.diagnostics.map((one) => one.message) }));
"""


def test_each_topic_is_a_channel_with_each_record_that_may_be_in_it() -> None:
    found = document(DOMAINS, "test.")
    assert {channel["address"] for channel in found["channels"].values()} == {
        f"test.{name}.{kind}" for name in DOMAINS.categories for kind in ("commands", "events")
    }
    for category in DOMAINS.categories.values():
        commands = found["channels"][f"{category.name}.commands"]["messages"]
        events = found["channels"][f"{category.name}.events"]["messages"]
        assert list(commands) == [f"{category.name}.{cls.__name__}" for cls in category.commands]
        retired = DOMAINS.catalog.upcasts[category.name].retired
        assert list(events) == [
            *(f"{category.name}.{cls.__name__}" for cls in (*category.events, *retired)),
            "refold.Claim", "refold.Voiding", "refold.Rejected",
        ]  # fmt: skip


def test_a_message_has_the_schema_whose_id_is_in_its_records() -> None:
    found = document(DOMAINS, "")
    for category in DOMAINS.categories.values():
        for cls in category.classes:
            message = found["components"]["messages"][f"{category.name}.{cls.__name__}"]
            assert schema_id(message["payload"]["schema"]) == DOMAINS.catalog.current(cls).id
            assert message["summary"]


@pytest.mark.timeout(400)
def test_the_standards_own_parser_has_nothing_to_say_against_it(tmp_path: Path) -> None:
    folder = packages(tmp_path, {"@asyncapi/parser": "3.6.6", "@asyncapi/avro-schema-parser": "3.1.0"})
    assert _judged(folder, document(DOMAINS, "")) == {"channels": 2 * len(DOMAINS.categories), "faults": []}
    broken = document(DOMAINS, "")
    del broken["channels"]["retail.basket.events"]
    assert _judged(folder, broken)["faults"]


def _judged(folder: Path, described: dict[str, Any]) -> dict[str, Any]:
    (folder / "asyncapi.json").write_text(json.dumps(described))
    judged: dict[str, Any] = json.loads(run(folder, JUDGE))
    return judged
