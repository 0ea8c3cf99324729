"""The memory of kept answers: bounded, never out of date, and told by Postgres where its model stands."""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from refold.api.http.hot import kept as kept_module
from refold.api.http.hot.kept import KeptAnswers, Sent, question_of
from refold.api.http.hot.standing_now import StandingNow, Stands
from refold.api.http.reads.conditional import Basis
from refold.api.http.reads.freshness import STANDING_HEADERS
from refold.api.http.reads.services import Keeping, ModelReads, ModelServices
from refold.api.http.reads.standing import standing_of
from refold.api.http.wire.database import Row
from refold.projections.tables.served import ServedModel
from refold.streams.domain import Domains
from refold.streams.errors import DatabaseUnavailable
from tests.api.conftest import STORE_DAILY
from tests.api.moving import (
    TEMPLATES,
    Moving,
)
from tests.api.test_models import page


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
