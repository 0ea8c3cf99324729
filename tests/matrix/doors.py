"""The doors of Refold, each as a function from what is put in to the one answer that comes out."""

import json
import random
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from confluent_kafka import KafkaError, Message

from refold.api.cli import app as cli
from refold.api.error_page import status_of
from refold.projections.live.process import models_fold
from refold.schemas.errors import RefoldError
from refold.schemas.freeze import freeze
from refold.schemas.identity import unreadable_command_uuid
from refold.streams.kafka import clients
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.sending.producer import Producer
from refold.streams.settings import Settings
from tests.matrix.over_http import Post, Step
from tests.matrix.over_kafka import EVENTS, At, Mutation, Records, Sending
from tests.schemas.decoding import assert_alike
from tests.schemas.shapes import CATALOG
from tests.schemas.test_compatibility import BASE, Change, changed
from tests.schemas.test_hostile import BAD
from tests.schemas.test_hostile import GOOD as SOUND
from tests.streams.broker import DOMAINS, append, claimed, fold_all, fold_with, prepare
from tests.streams.logs import claim

NOWHERE = "127.0.0.1:9"
CATEGORY = "retail.basket"


@dataclass(frozen=True)
class HttpDoor:
    """The API of a running stack."""

    url: str

    def post(self, given: Post) -> str:
        named: dict[str, str | None] = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "application/json"}
        sent = {name: value for name, value in (named | given.headers).items() if value is not None}
        if given.wire is not None:
            return self._on_the_wire(given.wire, sent, given.path)
        with httpx.Client(base_url=self.url, timeout=60) as api:
            encoded = [(name.encode(), value.encode()) for name, value in sent.items()]
            answer = api.request(given.method, given.path, content=given.body, headers=encoded)
        return told(answer.status_code, answer.content)

    def _on_the_wire(self, wire: bytes, sent: dict[str, str], path: str) -> str:
        host, _, port = self.url.removeprefix("http://").partition(":")
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        with socket.create_connection((host, int(port)), 20) as plug:
            plug.sendall(f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{head}".encode() + wire)
            got = b""
            while b"\r\n\r\n" not in got or b"}" not in got:
                piece = plug.recv(65_536)
                if not piece:
                    break
                got += piece
        first, _, body = got.partition(b"\r\n\r\n")
        text = body[body.find(b"{") : body.rfind(b"}") + 1]
        return told(int(first.split()[1]), text) if text else first.split()[1].decode()

    def talk(self, steps: list[Step]) -> str:
        stream = f"b-{uuid.uuid4().hex}"
        with httpx.Client(base_url=self.url, timeout=60) as api:
            for name, fields, more in steps:
                sent = {"Idempotency-Key": str(uuid.uuid4()), "Prefer": "wait=30"} | more
                path = f"/v1/commands/retail/basket/{name}"
                answer = api.post(path, json={"basket_id": stream} | fields, headers=sent)
        version = f" {answer.json()['version']}" if answer.status_code == 412 else ""
        return told(answer.status_code, answer.content).removesuffix(" None") + version


def told(status: int, body: bytes) -> str:
    """Status, code, and the first place at fault. Of an answer to a line: those of the line."""
    found = json.loads(body)
    place = " " + found["errors"][0]["field"] if found.get("errors") else ""
    exact = place if not place.startswith((" line ", " byte ")) else ""
    return f"{found.get('status', status)} {found.get('code')}{exact}" if "code" in found else str(status)


def produced(settings: Settings, given: Sending) -> str:
    servers = NOWHERE if given.away else settings.kafka_servers()
    producer = Producer(servers, settings.topic_prefix, DOMAINS, queue_records=given.queue, timeout_s=0.5)
    try:
        given.act(producer)
    except RefoldError as problem:
        return f"{status_of(problem)} {problem.code}"
    finally:
        producer._closed.set()  # close() would wait for a broker that is not there
    return "sent"


def commanded(settings: Settings, url: str, given: Mutation) -> str:
    """What the handler of a running stack makes of a record in the topic of commands."""
    stream = f"b-{uuid.uuid4().hex}"
    key, value = given(stream)
    place = appended(settings, commands_topic(settings.topic_prefix, CATEGORY), key, value)
    own = f"~unreadable.{place[1]}/commands/{unreadable_command_uuid(*place)}"
    with psycopg.connect(settings.dsn(), autocommit=True) as db:
        for _ in range(300):
            row = db.execute(
                "SELECT stream, command_id, code FROM refold.outcomes WHERE stream = %s OR command_id = %s",
                (stream, own.rpartition("/")[2]),
            ).fetchone()
            if row is not None:
                break
            db.execute("SELECT pg_sleep(0.1)")
    assert row is not None, "no command is dropped"
    found = httpx.get(f"{url}/v1/streams/retail/basket/{row[0]}/commands/{row[1]}").json()
    return " ".join([found["status"], *([found["code"]] if "code" in found else [])])


def appended(settings: Settings, topic: str, key: bytes | None, value: bytes | None) -> tuple[str, int, int]:
    """Where a record came to lie."""
    found: list[Message] = []
    producer = clients.producer(settings.kafka_servers(), **{"message.max.bytes": 100_000_000})
    producer.produce(topic, value, key, on_delivery=lambda _, message: found.append(message))
    assert producer.flush(30) == 0
    return str(found[0].topic()), int(found[0].partition() or 0), int(found[0].offset() or 0)


def refused_by_the_broker(settings: Settings, size: int) -> str:
    """The name of the error that a delivery of so many bytes ends with."""
    found: list[KafkaError | None] = []
    producer = clients.producer(settings.kafka_servers(), **{"message.max.bytes": 2 * size})
    topic = events_topic(settings.topic_prefix, CATEGORY)
    value = random.Random(1).randbytes(size)  # zeros would be compressed, and pass
    producer.produce(topic, value, on_delivery=lambda error, _: found.append(error))
    assert producer.flush(60) == 0
    return str(found[0].name()) if found[0] else "accepted"


class EventDoor:
    """A log of every row's records, each row under a claim of its own, folded once by the core and the read models."""

    def __init__(self, settings: Settings) -> None:
        prepare(settings)
        self._settings, self._last = settings, dict[int, int]()
        records: Records = []
        for number, (make, _) in enumerate(EVENTS.values(), 1):
            records += [claimed(claim(f"w{number}", number)), *make(At(f"w{number}", f"row-{number}"))]
            self._last[id(make)] = len(records) - 1
        append(settings, CATEGORY, 1, records)
        self._rows = {id(make): f"row-{number}" for number, (make, _) in enumerate(EVENTS.values(), 1)}
        fold_all(settings)
        models = models_fold(settings)
        stood = fold_with(settings, models)
        models.close()
        assert stood[events_topic(settings.topic_prefix, CATEGORY), 1] == len(records), "nothing stops the folds"

    def __call__(self, given: Callable[[At], Records]) -> str:
        offset, stream = self._last[id(given)], self._rows[id(given)]
        with psycopg.connect(self._settings.dsn()) as db:
            void = db.execute(
                "SELECT reason FROM refold.voids WHERE part = 1 AND %s BETWEEN first_offset AND last_offset", (offset,)
            ).fetchone()
            parked = db.execute("SELECT code FROM refold.parked WHERE stream = %s", (stream,)).fetchone()
            held = db.execute("SELECT version FROM refold.streams WHERE stream = %s", (stream,)).fetchone()
        if void is not None:
            return str(void[0])
        assert held is not None
        return f"parked {parked[0]}" if parked is not None else "counted"


def decoded(name: str) -> str:
    """By both decoders, which agree; the neighbours are read."""
    _, refused, _ = assert_alike(CATALOG, [*SOUND, BAD[name][0], *SOUND])
    return refused[len(SOUND)]


def registered(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: Change) -> str:
    """`refold schemas check` on a domain whose second version is the changed one."""
    name = f"checked_{uuid.uuid4().hex[:8]}"
    package = folder / name / "schemas"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from refold.schemas import Category\n"
        "from tests.schemas.test_compatibility import Packed\n"
        'CATEGORIES = (Category("tests.packed", (), (Packed,)),)\n'
    )
    (path,) = freeze([BASE], package / "frozen")
    path.with_name(path.name.replace(".v1.", ".v2.")).write_text(json.dumps(changed(given)))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("REFOLD_DOMAINS", name)
    code = cli.run(["schemas", "check", "--json"])
    found = json.loads(capsys.readouterr().out)
    return " ".join([str(code), *sorted({f"{row['rule']} {row['path']}" for row in found})])
