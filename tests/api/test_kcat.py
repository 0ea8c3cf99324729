"""kcat reads and prints our topics with `-s value=avro -r …/registry`: as a whole, and each part that is installed.

A kcat with Avro is rarely installed, but avro-c is: the bytes, the schemas and the registry's answers go through that.
"""

import json
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from confluent_kafka import Message, TopicPartition
from hypothesis import given, settings
from litestar.testing import TestClient

from refold.api.cli.stack import Stack
from refold.api.http.application import application
from refold.api.http.describe.registry import SchemaRegistry
from refold.schemas.catalog import Catalog, Kind
from refold.schemas.codec import Codec
from refold.schemas.contracts import Event
from refold.schemas.meta import CommandMeta, Meta
from refold.streams.domain import load_domains
from refold.streams.kafka import clients
from refold.streams.kafka.partitioner import partition_of
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.settings import Settings
from tests.api.avro_c import HEADERS, LIBRARY, MEDIA_TYPE, avro_c, unframed
from tests.api.avro_json import expected
from tests.api.test_evolution import PRODUCTS, VOIDED, written
from tests.golden.make import FOLDER
from tests.schemas import shapes
from tests.streams import broker
from tests.streams.logs import record

pytestmark = pytest.mark.timeout(240)
RETAIL = load_domains(["retail"]).catalog
needs_avro_c = pytest.mark.skipif(LIBRARY is None, reason="avro-c is not installed (Debian: apt install libavro23)")
Row = tuple[str, dict[str, Any]]
RETIRED = [("retail.product", PRODUCTS[0]), ("retail.product", PRODUCTS[1]), ("retail.basket", VOIDED)]


@pytest.fixture(scope="module")
def served() -> Iterator[Callable[[int], str]]:
    """The text of the schema of an id, as the registry's routes give it out, of retail and of every type there is."""
    schemas = {n: writer.schema for catalog in (RETAIL, shapes.CATALOG) for n, writer in catalog.by_id.items()}
    nothing: Any = None
    with TestClient(application(nothing, nothing, nothing, nothing, SchemaRegistry(lambda: schemas, ""))) as client:

        @cache
        def get(number: int) -> str:
            answer = client.get(f"/registry/schemas/ids/{number}", headers=HEADERS, follow_redirects=False)
            return schema_in(answer.status_code, answer.headers["content-type"], answer.content)

        yield get


def schema_in(status: int, content_type: str, body: bytes) -> str:
    """What libserdes takes of an answer: it follows no redirect, and without `schemaType` a schema is Avro."""
    assert (status, content_type) == (200, MEDIA_TYPE), body
    answer = json.loads(body)
    assert answer.get("schemaType", "AVRO") == "AVRO"
    assert isinstance(answer["schema"], str)
    return str(answer["schema"])


def assert_read(catalog: Catalog, value: bytes, schema: str) -> dict[str, Any]:
    """avro-c reads every byte of a record, and prints what our decoder says is in it. Returns that."""
    number, body = unframed(value)
    assert avro_c().written_again(schema, body) == body
    printed: dict[str, Any] = json.loads(avro_c().printed(schema, body))
    assert printed == expected(catalog.by_id[number], value, cut=avro_c().cuts_at_zero)
    assert list(printed) == [field["name"] for field in catalog.by_id[number].schema["fields"]]
    return printed


@needs_avro_c
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_released_schema_and_its_golden_bytes(path: Path, served: Callable[[int], str]) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    for found in golden["records"]:
        assert_read(RETAIL, bytes.fromhex(found["hex"]), served(golden["schema_id"]))


@needs_avro_c
@pytest.mark.parametrize("cls", shapes.EVENTS, ids=lambda cls: cls.__name__)
def test_every_type_that_a_contract_allows(cls: type[Event], served: Callable[[int], str]) -> None:
    number = shapes.CATALOG.current(cls).id

    @given(meta=shapes.METAS, event=shapes.OF_EVENT[cls])
    @settings(max_examples=60, deadline=None)
    def read(meta: Meta, event: Event) -> None:
        assert_read(shapes.CATALOG, Codec(shapes.CATALOG).event(meta, event), served(number))

    read()


@needs_avro_c
@given(meta=shapes.COMMAND_METAS, command=shapes.COMMANDS)
@settings(max_examples=60, deadline=None)
def test_every_type_of_a_command(served: Callable[[int], str], meta: CommandMeta, command: shapes.DoAll) -> None:
    number = shapes.CATALOG.current(shapes.DoAll).id
    assert_read(shapes.CATALOG, Codec(shapes.CATALOG).command(meta, command), served(number))


@needs_avro_c
def test_a_misread_record_is_seen(served: Callable[[int], str]) -> None:
    golden = json.loads((FOLDER / "retail.basket.ItemScanned.v1.json").read_text(encoding="utf-8"))
    value = bytes.fromhex(golden["records"][0]["hex"])
    with pytest.raises(AssertionError):
        assert_read(RETAIL, value + b"\0", served(golden["schema_id"]))


def sent(stack: Stack) -> None:
    """Every event that today's commands bring about, and a rejection."""
    basket, void, product, household = uuid.uuid4().hex, uuid.uuid4().hex, str(uuid.uuid4().int % 10**12), "1001"
    labels = {"brand": "Müsli", "package_size": "330 G"}
    scan = {"product_id": 5, "quantity": 1, "amount": "2.56", "discount": "0.00"}
    coupon = {"campaign_id": 8, "coupon_upc": 2**40}
    rows: list[Row] = [
        ("basket.OpenBasket", {"basket_id": basket, "store_id": 7, "household_id": household}),
        ("basket.ScanItem", {"basket_id": basket, **scan}),
        ("basket.PayBasket", {"basket_id": basket}),
        ("basket.PayBasket", {"basket_id": basket}),
        ("basket.OpenBasket", {"basket_id": void, "store_id": 7}),
        ("basket.VoidBasket", {"basket_id": void, "reason": "has left"}),
        ("product.ListProduct", {**PRODUCTS[0][1], "product_id": product, "manufacturer": 69}),
        ("product.RelabelProduct", {"product_id": product, **labels}),
        ("product.DelistProduct", {"product_id": product, "reason": "recalled"}),
        ("household.EnrolInCampaign", {"household_id": household, "campaign_id": 8}),
        ("household.RedeemCoupon", {"household_id": household, **coupon}),
        ("household.AwardPoints", {"household_id": household, "basket_id": "on paper", "points": 3}),
    ]
    lines = [{"command": f"retail.{name}", "data": data, "id": str(uuid.uuid4())} for name, data in rows]
    headers = {"Content-Type": "application/x-ndjson", "Prefer": "wait=30"}
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    answer = httpx.post(f"{stack.api_url}/v1/commands", content=body, headers=headers, timeout=60)
    statuses = [json.loads(text)["status"] for text in answer.text.splitlines()]
    assert [status for status in statuses if status != 201] == [409], answer.text


def append_retired(settings: Settings) -> None:
    """Events of every earlier version, of a writer without a claim: Refold passes them over, other readers do not."""
    for seq, (category, (version, body)) in enumerate(RETIRED):
        meta = record("nobody", seq, f"{category}/{version}", "42", seq)
        value = written(category, version, body, msgspec.structs.replace(meta, category=category))
        broker.append(settings, category, partition_of(b"42", settings.partitions), [(b"42", value)])


def whole_log(settings: Settings) -> list[Message]:
    """Every record of commands and events."""
    reader = clients.consumer(settings.kafka_servers())
    names = [named(settings.topic_prefix, c) for c in RETAIL.categories for named in (events_topic, commands_topic)]
    places = [TopicPartition(name, part, 0) for name in names for part in range(settings.partitions)]
    reader.assign(places)
    records = sum(reader.get_watermark_offsets(place, timeout=60)[1] for place in places)
    found: list[Message] = []
    while len(found) < records:
        found += reader.consume(500, 1.0)
    reader.close()
    return found


@needs_avro_c
def test_a_real_log_by_the_schemas_of_the_running_registry(stack: Stack) -> None:
    sent(stack)
    append_retired(stack.settings)
    address = urlsplit(stack.api_url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
    seen = {}
    for message in whole_log(stack.settings):
        value = message.value()
        assert value is not None
        number, _ = unframed(value)
        if number not in seen:
            seen[number] = asked(connection, number)
        printed = assert_read(RETAIL, value, seen[number])
        stream = printed["meta"]["stream"].encode() if "meta" in printed else None
        assert message.key() == stream, "a key is the stream as text, a claim has none"
    connection.close()
    today = {RETAIL.current(cls).id for category in RETAIL.categories.values() for cls in category.commands}
    assert set(seen) == today | {
        n for n, writer in RETAIL.by_id.items() if writer.kind not in {Kind.COMMAND, Kind.VOIDING}
    }


def asked(connection: HTTPConnection, number: int) -> str:
    """The schema by libserdes' request, header by header."""
    connection.putrequest("GET", f"/registry/schemas/ids/{number}", skip_accept_encoding=True)
    for name, value in HEADERS.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return schema_in(answer.status, answer.headers["Content-Type"], answer.read())


def kcat_reads_avro() -> bool:
    """Debian's package is built without; Confluent's image and Homebrew's are built with."""
    found = shutil.which("kcat")
    return found is not None and b"Avro" in subprocess.run([found, "-V"], capture_output=True, check=False).stdout


@pytest.mark.skipif(not kcat_reads_avro(), reason="no kcat with Avro support is installed (`kcat -V` would list it)")
def test_kcat_prints_our_events(stack: Stack) -> None:
    sent(stack)
    topic = events_topic(stack.settings.topic_prefix, "retail.basket")
    arguments = ["kcat", "-b", stack.settings.kafka_servers(), "-t", topic, "-s", "value=avro"]
    arguments += ["-r", f"{stack.api_url}/registry", "-C", "-e", "-q", "-o", "beginning"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    records = [json.loads(text) for text in done.stdout.splitlines()]
    assert any("quantity" in record for record in records)
