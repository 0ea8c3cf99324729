"""A connection with answers from memory keeps their order, outlives clients that leave, and stops as any."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from refold.api.http.application import Application
from refold.api.http.reads.services import Keeping
from refold.api.http.server import server
from refold.projections.tables.served import ServedModel
from refold.streams.domain import Domains
from refold.streams.settings import Settings
from tests.api.conftest import World, over
from tests.api.moving import (
    ROW,
    ROWS,
    Client,
    Moving,
    client,
    code,
    from_memory,
    timeless,
    until,
)
from tests.api.test_limits import running


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


def test_bytes_that_are_no_request_behind_a_kept_one_do_not_take_its_answer(port: int) -> None:
    with client(port) as one:
        one.ask(ROW)
        one.connection.sendall(b"GET %b HTTP/1.1\r\nhost: here\r\n\r\nhello there\r\n\r\n" % ROW)
        assert one.answer().startswith(b"HTTP/1.1 200")
        rest = one.read + b"".join(iter(lambda: one.connection.recv(65536), b""))
        assert rest.count(b"HTTP/1.1") <= 1


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
