"""An answer from memory is the answer that the table would give, byte for byte, counted and logged alike; what is not plain is asked of the table."""

import asyncio
import gzip
import json
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import cramjam
import pytest

from refold.api.http.application import Application
from refold.api.http.hot import kept as kept_module
from refold.api.http.hot.kept import KeptAnswers, Sent, question_of
from refold.api.http.hot.metrics import HITS, MISSES
from refold.api.http.hot.standing_now import StandingNow, Stands
from refold.api.http.reads.conditional import Basis
from refold.api.http.reads.freshness import STANDING_HEADERS
from refold.api.http.reads.services import Keeping, ModelReads, ModelServices
from refold.api.http.reads.standing import ALONE, standing_of
from refold.api.http.server import server
from refold.api.http.wire.database import Parameters, Row, Statement
from refold.projections.tables.served import ServedModel
from refold.streams.domain import Domains
from refold.streams.errors import DatabaseUnavailable
from refold.streams.settings import Settings
from tests.api.conftest import STORE_DAILY, World, over
from tests.api.test_hot_paths import counts
from tests.api.test_limits import running
from tests.api.test_models import page

END = b"\r\n\r\n"
ROWS, ROW = b"/v1/retail/store_daily", b"/v1/retail/store_daily/3,2026-01-01"
TEMPLATES = "/v1/{domain}/{model}", "/v1/{domain}/{model}/{key}"
ONE_BY_ONE = b"refold-max-age: 99999999\r\n"
"""Makes a request one that is never answered from memory, and its answer no other."""


class Moving(World):
    """A model whose rows say where they stand, and a Postgres that may be slow or away."""

    def __init__(self) -> None:
        super().__init__()
        self.at, self.behind, self.parked, self.age = 10, 0, 0, 100.0
        self.away = self.alone = self.whole = 0
        self.gate: asyncio.Event | None = None
        self.held = 0
        self.note = "x" * 50

    async def look_up(self, statement: bytes, parameters: Any) -> list[Row]:
        return await self.fetch(statement.decode(), parameters)

    async def fetch(self, statement: Statement, _: Parameters) -> list[Row]:
        is_alone = statement in {ALONE, ALONE.encode()}
        if is_alone and self.gate is not None:
            self.held += 1
            await self.gate.wait()
        if is_alone and self.away:
            raise DatabaseUnavailable("away")
        row = {"store_id": 3, "day": "2026-01-01", "revenue": f"{self.at}.00", "note": self.note}
        found = page(row, at=self.at, behind=self.behind, parked=self.parked, age=self.age)
        self.alone, self.whole = self.alone + is_alone, self.whole + (not is_alone)
        return [(found[0][2],)] if is_alone else found


@pytest.fixture
def world() -> Moving:
    return Moving()


@pytest.fixture
def app(world: World, domains: Domains, model: ServedModel) -> Application:
    found = over(world, domains, model, Keeping(1 << 20, 600.0))
    assert isinstance(found, Application)
    return found


@pytest.fixture
def port(app: Application) -> Iterator[int]:
    with running(server(Settings(api_port=0, api_drain_s=0), app)) as found:
        yield found


class Client:
    """One connection, on which bytes are sent as they are."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.read = b""

    def send(self, target: bytes, headers: bytes = b"", version: bytes = b"1.1") -> None:
        self.connection.sendall(b"GET %b HTTP/%b\r\nhost: here\r\n%b\r\n" % (target, version, headers))

    def answer(self) -> bytes:
        """The next answer: head and body."""
        while END not in self.read:
            self._more()
        head, _, _ = self.read.partition(END)
        found = re.search(rb"\r\ncontent-length: ([0-9]+)", head)
        length = len(head) + len(END) + int(found[1] if found else 0)
        while len(self.read) < length:
            self._more()
        whole, self.read = self.read[:length], self.read[length:]
        return whole

    def _more(self) -> None:
        piece = self.connection.recv(65536)
        assert piece, self.read
        self.read += piece

    def ask(self, target: bytes, headers: bytes = b"") -> bytes:
        self.send(target, headers)
        return self.answer()


@contextmanager
def client(port: int) -> Iterator[Client]:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
        yield Client(connection)


def timeless(answer: bytes) -> bytes:
    """An answer without what each one has of its own."""
    return re.sub(rb"\r\n(date|x-request-id): [^\r]*", b"", answer)


def hits() -> float:
    return float(HITS._value.get())


@contextmanager
def from_memory(number: int) -> Iterator[None]:
    """So many answers within the block come from memory."""
    before = hits()
    yield
    assert hits() - before == number


QUESTIONS = [
    (ROW, b""),
    (ROW, b"accept: application/vnd.pgrst.object+json\r\n"),
    (ROW, b"prefer: timezone=Europe/Berlin\r\n"),
    (ROWS, b""),
    (ROWS + b"?limit=1&order=day", b"accept: application/vnd.pgrst.array+json;nulls=stripped\r\n"),
    (ROWS + b"?store_id=eq.3", b"accept: application/vnd.pgrst.object+json\r\n"),
    (ROWS, b"range: 0-9\r\n"),
    (ROWS + b"?offset=1", b"prefer: count=exact\r\n"),
    (ROWS + b"?limit=7", b"accept-encoding: gzip, zstd\r\n"),
]


@pytest.mark.parametrize("origins", [[], ["https://shop.example"], ["*"]])
def test_an_answer_from_memory_is_the_answer_of_the_table_byte_for_byte(
    app: Application, world: Moving, origins: list[str]
) -> None:
    settings = Settings(api_port=0, api_drain_s=0, api_origins=origins)
    world.parked = 2
    with running(server(settings, app)) as port, client(port) as one:
        for target, headers in QUESTIONS:
            one.ask(target, headers)
            world.age += 2  # by then it is over when the rows were first seen here
            with from_memory(1):
                kept = one.ask(target, headers)
            with from_memory(0):
                assert timeless(kept) == timeless(one.ask(target, headers + ONE_BY_ONE)), target
            assert b"\r\nlast-modified: " in kept
            assert b"\r\ndate: " in kept


def test_what_was_asked_otherwise_is_another_answer(port: int) -> None:
    with client(port) as one:
        found = [[timeless(one.ask(target, headers)) for _ in range(2)] for target, headers in QUESTIONS]
    assert all(first == second for first, second in found)
    assert len({first for first, _ in found}) == len(QUESTIONS)


CODINGS: dict[bytes, Callable[[bytes], Any]] = {
    b"gzip": gzip.decompress,
    b"zstd": cramjam.zstd.decompress,
    b"identity": bytes,
}


def test_a_long_answer_is_kept_in_each_coding_and_all_have_one_tag(port: int, world: Moving) -> None:
    world.note = "x" * 5000
    with client(port) as one:
        for coding, opened in CODINGS.items():
            header = b"accept-encoding: %b\r\n" % coding
            one.ask(ROW, header)
            with from_memory(1):
                answer = one.ask(ROW, header)
            assert timeless(answer) == timeless(one.ask(ROW, header + ONE_BY_ONE))
            head, _, body = answer.partition(END)
            assert (b"\r\ncontent-encoding: %b" % coding in head) == (coding != b"identity")
            assert json.loads(bytes(opened(body)))["note"] == world.note
            tag = next(line for line in head.split(b"\r\n") if line.startswith(b"etag: "))[6:]
            for other in CODINGS:
                known = one.ask(ROW, b"accept-encoding: %b\r\nif-none-match: %b\r\n" % (other, tag))
                assert code(known) == b"304"
                assert b"content-encoding" not in known


def test_a_coding_that_there_is_not_is_refused_before_memory_is_asked(port: int) -> None:
    with client(port) as one, from_memory(0):
        for _ in range(2):
            answer = one.ask(ROW, b"accept-encoding: identity;q=0, br\r\n")
            assert code(answer) == b"406"
            assert b'"not-acceptable"' in answer


def test_rows_come_from_memory_only_while_the_model_stands(port: int, world: Moving) -> None:
    with client(port) as one:
        for at in (10, 11, 15):
            world.at = at
            with from_memory(2):
                answers = [one.ask(ROW) for _ in range(3)]
            for answer in answers:
                assert b'"revenue": "%d.00"' % at in answer
                assert b"refold-position: retail.basket.events/0:%d\r\n" % at in answer
    assert world.whole == 3


@pytest.mark.parametrize("what", ["at", "parked"])
def test_an_answer_is_never_older_than_what_was_committed_before_it_was_asked_for(
    port: int, world: Moving, what: str
) -> None:
    with client(port) as one, client(port) as other:
        for number in range(1, 20):
            one.ask(ROW)
            setattr(world, what, 10 + number)
            answers = [other.ask(ROW), one.ask(ROW)]
            wanted = b"0:%d\r\n" % world.at if what == "at" else b"refold-parked: %d\r\n" % world.parked
            assert all(wanted in answer for answer in answers)


def test_lag_and_age_are_those_of_now(port: int, world: Moving) -> None:
    with client(port) as one:
        one.ask(ROW)
        world.behind = 7
        for age in (101.0, 205.5):
            world.age = age
            with from_memory(1):
                answer = one.ask(ROW)
            assert b"refold-lag: 7\r\nrefold-age: %d\r\n" % -(-int(age * 10) // 10) in answer


NOT_PLAIN = [
    b'if-none-match: "x"\r\n',
    b"if-modified-since: Sat, 28 Nov 2026 16:00:00 GMT\r\n",
    b"refold-min-position: retail.basket.events/0:1\r\n",
    b"refold-max-age: 1000\r\n",
    b"origin: https://shop.example\r\n",
    b"content-length: 1\r\n\r\nx",
    b"accept: application/json\r\naccept: */*\r\n",
    b"host: a b\r\n",
    b"connection: close\r\n",
    b"connection: upgrade\r\nupgrade: websocket\r\n",
]


def test_requests_that_are_not_plain_go_to_the_table(port: int) -> None:
    for headers in NOT_PLAIN:
        with client(port) as one, client(port) as other:
            for kept in (b"", b"accept: application/json\r\n", b"accept: */*\r\n"):
                one.ask(ROW, kept)
            with from_memory(0):
                assert other.ask(ROW, headers).startswith((b"HTTP/1.1 200", b"HTTP/1.1 400")), headers


def test_other_methods_and_versions_go_to_the_table(port: int) -> None:
    with client(port) as one, from_memory(0):
        one.ask(ROW)
        one.connection.sendall(b"HEAD %b HTTP/1.1\r\nhost: here\r\n\r\n" % ROW)
        assert one.answer().startswith(b"HTTP/1.1 200")
        one.send(ROW, version=b"1.0")
        assert b"connection: close" in one.answer()


def test_answers_come_in_the_order_of_their_requests(port: int) -> None:
    """Sent without waiting, in one piece and in pieces: kept ones, others, and refused ones."""
    targets = [ROW, ROWS, ROW, b"/livez", ROWS + b"?limit=1", ROW, ROW, b"/v1/retail/nothing", ROWS]
    with client(port) as one:
        alone = [timeless(one.ask(target)) for target in targets for _ in range(2)][1::2]
        asked = b"".join(b"GET %b HTTP/1.1\r\nhost: here\r\n\r\n" % target for target in targets)
        for piece in (1, 7, 60, 1000):
            for begin in range(0, len(asked), piece):
                one.connection.sendall(asked[begin : begin + piece])
            answers = [timeless(one.answer()) for _ in targets]
            assert [code(answer) for answer in answers] == [code(answer) for answer in alone]
            assert [answer for answer in answers if b" 200 " in answer] == [a for a in alone if b" 200 " in a]


def code(answer: bytes) -> bytes:
    return answer.split(b" ", 2)[1]


def test_bytes_that_are_no_request_behind_a_kept_one_do_not_take_its_answer(port: int) -> None:
    with client(port) as one:
        one.ask(ROW)
        one.connection.sendall(b"GET %b HTTP/1.1\r\nhost: here\r\n\r\nhello there\r\n\r\n" % ROW)
        assert one.answer().startswith(b"HTTP/1.1 200")
        rest = one.read + b"".join(iter(lambda: one.connection.recv(65536), b""))
        assert rest.count(b"HTTP/1.1") <= 1


def until(holds: Any) -> None:
    bound = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < bound
        time.sleep(0.005)


@contextmanager
def asked_in_vain(world: Moving, one: Client) -> Iterator[None]:
    """Within the block a kept answer waits for Postgres's word, and gets none."""
    one.ask(ROW)
    world.gate, world.held = asyncio.Event(), 0
    one.send(ROW)
    until(lambda: world.held)
    yield
    world.gate = None


def test_a_request_that_a_stop_meets_gets_the_last_answer_of_its_connection(app: Application, world: Moving) -> None:
    served = server(Settings(api_port=0, api_drain_s=0), app)
    with running(served) as port, client(port) as one:
        with asked_in_vain(world, one):
            served.should_exit = True
            answer = one.answer()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"\r\nconnection: close" in answer


@pytest.mark.parametrize("how", ["slow", "away"])
def test_if_postgres_does_not_say_where_the_model_stands_the_table_is_asked(
    port: int, world: Moving, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refold.api.http.hot.standing_now.AT_MOST_S", 0.01)
    with client(port) as one, from_memory(0):
        one.ask(ROW)
        world.away, world.gate = how == "away", asyncio.Event() if how == "slow" else None
        assert b'"revenue": "10.00"' in one.ask(ROW)


def test_a_client_that_leaves_meanwhile_harms_nobody(port: int, world: Moving) -> None:
    with client(port) as other:
        with client(port) as one, asked_in_vain(world, one):
            one.connection.close()
            world.gate.set()  # type: ignore[union-attr]  # set by the block
        assert other.ask(ROW).startswith(b"HTTP/1.1 200")


def test_a_stopping_server_keeps_nobody_waiting_for_memory(app: Application) -> None:
    """While it drains, each answer is the last of its connection; none comes from memory, which keeps connections."""
    served = server(Settings(api_port=0, api_drain_s=30), app)
    with running(served) as port, client(port) as one:
        one.ask(ROW)
        served.should_exit = True
        until(lambda: served.server_state.draining)
        with from_memory(0):
            assert b"\r\nconnection: close" in one.ask(ROW)
        served.force_exit = True


def accessed(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines about requests. Other loggers are heard, too, once a test of this process has let them."""
    return [record.getMessage() for record in caplog.records if record.name == "refold.access"]


def test_an_answer_from_memory_is_counted_and_logged_as_any(app: Application, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(api_port=0, api_drain_s=0, api_access_log=True)
    with running(server(settings, app)) as port, client(port) as one, caplog.at_level(logging.INFO, "refold.access"):
        for target, route in zip((ROWS, ROW), TEMPLATES, strict=True):
            before, missed = counts(), MISSES._value.get()
            with from_memory(2):
                for _ in range(3):
                    one.ask(target, b"x-request-id: mine\r\n")
            series = ("refold_http_requests_total", "GET", route, "200"), ("refold_http_request_seconds_count", route)
            until(lambda: len(accessed(caplog)) >= 3)
            for name in series:
                until(lambda name=name, before=before: counts()[name] - before.get(name, 0) >= 3)
                assert counts()[name] - before.get(name, 0) == 3
            assert MISSES._value.get() - missed == 1
            assert {message.rpartition(" 200 ")[0] for message in accessed(caplog)} == {f"GET {route}"}
            caplog.clear()


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        pytest.param(ROWS, b"prefer: count=planned\r\n", id="a-guess-of-postgres"),
        pytest.param(ROWS + b"?last_at=gt.now", b"", id="a-time-that-moves"),
        pytest.param(b"/v1/retail", b"", id="no-rows"),
    ],
)
def test_what_may_change_while_the_model_stands_is_not_kept(
    app: Application, port: int, target: bytes, headers: bytes
) -> None:
    with client(port) as one:
        one.ask(ROW)
        assert len(app.kept._kept) == 1
        one.send(target, headers)
        until(lambda: END in one.connection.recv(65536, socket.MSG_PEEK))
    assert len(app.kept._kept) == 1


def standing(at: int = 10) -> Any:
    return standing_of(page(at=at)[0][2], STORE_DAILY, "")


def kept_with(most: int, seconds: float = 60.0) -> tuple[KeptAnswers, dict[tuple[str, str], ServedModel]]:
    async def nothing(*_: Any) -> Any:
        return []

    models = {("retail", "store_daily"): STORE_DAILY}
    reads = ModelReads(nothing, nothing, nothing, lambda _: False, nothing)
    services = ModelServices(None, models, reads, "", keeping=Keeping(most, seconds))  # type: ignore[arg-type]  # no domain is asked for
    return KeptAnswers(services), models


def question(number: int) -> Any:
    return question_of(b"/v1/retail/store_daily/%d" % number, [])


def keep(kept: KeptAnswers, number: int, size: int = 100, at: int = 10, asked_at: float | None = None) -> None:
    basis, sent = Basis(STORE_DAILY, standing(at)), Sent(200, [], b"x" * size)
    kept.keep(question(number), TEMPLATES[1], basis, sent, time.monotonic() if asked_at is None else asked_at)


def test_memory_is_bounded_and_the_oldest_answer_goes_first() -> None:
    kept, _ = kept_with(20_000)
    for number in range(200):
        keep(kept, number, size=100 + number)
        assert kept.size <= 20_000
        assert kept.find(question(number)) is not None
    there = [number for number in range(200) if kept.find(question(number)) is not None]
    assert there == list(range(there[0], 200))
    assert 10 < len(there) < 30


def test_an_answer_that_would_fill_the_memory_is_not_kept() -> None:
    kept, _ = kept_with(20_000)
    keep(kept, 1, size=10_000)
    assert (kept.find(question(1)), kept.size) == (None, 0)


def test_an_answer_is_kept_for_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(kept_module, "monotonic", lambda: now)
    kept, _ = kept_with(20_000, 1.0)
    keep(kept, 1, asked_at=99.5)
    now = 100.4
    assert kept.find(question(1)) is not None
    now = 100.6
    assert (kept.find(question(1)), kept.size) == (None, 0)
    keep(kept, 2, asked_at=100.5)
    now = 102.0
    keep(kept, 3, asked_at=102.0)
    assert len(kept._kept) == 1, "what is too old leaves when another comes"


def test_an_answer_of_rows_that_moved_meanwhile_is_not_kept() -> None:
    kept, models = kept_with(20_000)
    keep(kept, 1, at=11, asked_at=50.0)
    keep(kept, 2, at=10, asked_at=49.0)
    assert kept.find(question(2)) is None
    models.clear()
    keep(kept, 3, at=11)
    assert kept.find(question(3)) is None, "another table serves by now"


def test_no_bytes_and_no_seconds_keep_nothing() -> None:
    for bounds in ((0, 1.0), (1 << 20, 0.0)):
        kept, _ = kept_with(*bounds)
        keep(kept, 1)
        assert not kept.keeps
        assert kept.find(question(1)) is None


def test_each_who_asks_is_told_what_postgres_said_after_that(domains: Domains) -> None:
    """Several at once share one statement, but none that was sent before they asked."""

    async def main() -> None:
        world, sent = Moving(), list[asyncio.Future[list[Row]]]()

        async def look_up(_: bytes, __: Any) -> list[Row]:
            sent.append(asyncio.get_running_loop().create_future())
            return await sent[-1]

        def answers(at: int) -> None:
            sent[-1].set_result([(page(at=at, age=100.0)[0][2],)])

        reads = ModelReads(world.fetch, look_up, world.moved, lambda _: False, world.in_zone)
        models = ModelServices(domains, {("retail", "store_daily"): STORE_DAILY}, reads, "")
        stands, told = StandingNow(models, ("retail", "store_daily")), list[tuple[str, Stands | None]]()
        for name in "ab":
            stands.ask(lambda said, name=name: told.append((name, said)))  # type: ignore[misc]  # a default is no parameter
        await asyncio.sleep(0.01)
        for name in "cd":
            stands.ask(lambda said, name=name: told.append((name, said)))  # type: ignore[misc]  # as above
        assert len(sent) == 1
        answers(10)
        await asyncio.sleep(0.01)
        assert sorted(name for name, _ in told) == ["a", "b"]
        assert len(sent) == 2
        answers(11)
        await asyncio.sleep(0.01)
        assert {name: said.state[1][-2:] for name, said in told if said} == {"a": "10", "b": "10", "c": "11", "d": "11"}
        stands.ask(lambda said: told.append(("e", said)))
        await asyncio.sleep(0.01)
        sent[-1].set_exception(DatabaseUnavailable("away"))
        await asyncio.sleep(0.01)
        assert told[-1] == ("e", None)

    asyncio.run(main())


def test_the_headers_that_say_where_rows_stand_are_known_by_name() -> None:
    everything = standing_of(
        json.dumps([[["build:1", "retail.basket.events", 0, 5, 1.0]], [[1, "f", 1.5, "code"]], [2, None], None, 9, 9]),
        STORE_DAILY,
        "",
    )
    assert tuple(everything.headers()) == STANDING_HEADERS


def test_every_header_that_a_read_looks_at_is_part_of_the_question_or_is_never_kept() -> None:
    folder = Path(kept_module.__file__).parents[1] / "reads"
    texts = [path.read_text() for path in folder.rglob("*.py")]
    named = {name.encode() for text in texts for name in re.findall(r'headers(?:\.get\(|\[)"([a-z-]+)"', text)}
    assert {b"accept", b"prefer", b"range", b"refold-min-position", b"if-none-match"} <= named
    assert named <= kept_module._FORMING | kept_module._NEVER
