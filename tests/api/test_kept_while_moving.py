"""Answers from memory while everything moves, through a real server and a real Postgres: each is what the table held while it was asked for."""

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import NamedTuple

import pytest

from refold.api.http.hot.metrics import HITS
from refold.api.http.reads.services import Keeping
from tests.api.shelf import HTTP, Site, serving
from tests.api.test_fresh_answers import TOPIC, stand

pytestmark = pytest.mark.servers
COLUMNS = {"id": "bigint", "at": "bigint", "build": "bigint", "parked": "bigint"}
PATHS = (
    "/v1/shelf/moving",
    "/v1/shelf/moving/1",
    "/v1/shelf/moving?id=gte.0&order=at.desc",
    "/v1/shelf/moving?limit=1",
)
STEPS, READERS = 250, 3


class Moment(NamedTuple):
    """What is true at once: the model's position, the core's, the build that serves, and the streams that wait in it."""

    at: int
    core: int
    build: int
    parked: int


class History:
    """A model that moves in every way there is, one commit after another. Its rows say where they stand."""

    def __init__(self, site: Site) -> None:
        self.db, self.builds = site.db, dict[int, int]()
        site.make("moving", COLUMNS, ["id"], [], view=False)
        self.db.execute("DROP TABLE shelf.moving")
        for build in (1, 2):
            self.db.execute(f"CREATE TABLE shelf.moving_{build} (id bigint, at bigint, build bigint, parked bigint)")
            self.db.execute(f"INSERT INTO shelf.moving_{build} SELECT id, 1, {build}, 0 FROM generate_series(1, 3) id")
            noted = self.db.execute(
                "INSERT INTO refold.builds (domain, model, fingerprint, status) VALUES ('shelf', 'moving', 'f', %s) RETURNING build",
                ("serving" if build == 1 else "retired",),
            )
            self.builds[build] = noted.fetchall()[0][0]
        self.db.execute("CREATE VIEW shelf.moving AS SELECT * FROM shelf.moving_1")
        self.moments, self.committed = [Moment(1, 1, 1, 0)], 0
        stand(site, "core", 1)
        stand(site, "models", 1)

    def step(self, rng: random.Random) -> None:
        now = self.moments[-1]
        kind = rng.choice(["fold", "fold", "core", "swap", "park"])
        if kind == "fold":
            core = now.core + rng.randrange(3)
            after = now._replace(at=min(now.at + rng.randrange(1, 4), core), core=core)
        elif kind == "core":
            after = now._replace(core=now.core + 1)
        elif kind == "swap":
            after = now._replace(build=3 - now.build)
        else:
            after = now._replace(parked=rng.randrange(3))
        self.moments.append(after)  # before it is committed: it may be seen before we hear of the commit
        with self.db.transaction():
            self._write(after)
        self.committed = len(self.moments) - 1

    def _write(self, now: Moment) -> None:
        rows = "UPDATE refold.positions SET next_offset = %s, last_at = now() WHERE grp = %s"
        self.db.execute(rows, (now.core, "core"))
        self.db.execute(rows, (now.at, "models"))
        self.db.execute(f"UPDATE shelf.moving_{now.build} SET (at, parked) = (%s, %s)", (now.at, now.parked))
        self.db.execute("DELETE FROM refold.parked")
        for number in range(now.parked):
            self.db.execute(
                "INSERT INTO refold.parked (build, category, stream, part, first_offset, code, reason)"
                " VALUES (0, 'retail.basket', %s, 0, 1, 'c', 'r')",
                (f"s{number}",),
            )
        self.db.execute(f"CREATE OR REPLACE VIEW shelf.moving AS SELECT * FROM shelf.moving_{now.build}")
        self.db.execute("UPDATE refold.builds SET status = 'retired' WHERE model = 'moving'")
        self.db.execute("UPDATE refold.builds SET status = 'serving' WHERE build = %s", (self.builds[now.build],))


def told(body: bytes, headers: http.client.HTTPMessage) -> Moment:
    """What an answer says, by its rows, which agree with each other and with its position."""
    found = json.loads(body)
    rows = found if isinstance(found, list) else [found]
    ((at, build, parked),) = {(row["at"], row["build"], row["parked"]) for row in rows}
    assert headers["refold-position"] == f"{TOPIC}/0:{at}"
    assert int(headers.get("refold-parked", "0")) == parked
    return Moment(at, at + int(headers["refold-lag"]), build, parked)


class Reader(threading.Thread):
    """Reads on one connection; what it read wrongly is in `wrong`."""

    def __init__(self, site: Site, history: History, seed: int) -> None:
        super().__init__()
        self.connection = http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=30)
        self._history, self._rng = history, random.Random(seed)
        self.stopped, self.wrong, self.answers = False, list[object](), 0

    def run(self) -> None:
        with closing(self.connection):
            self._read_on()

    def _read_on(self) -> None:
        while not self.stopped:
            committed = self._history.committed
            try:
                found = read(self.connection, self._rng.choice(PATHS))
            except (AssertionError, ValueError, OSError, http.client.HTTPException) as problem:
                self.wrong.append(problem)
                return
            possible = self._history.moments[committed:]
            if found not in possible:
                self.wrong.append((found, possible))
                return
            self.answers += 1


def read(connection: http.client.HTTPConnection, path: str) -> Moment:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    return told(body, answer.headers)


@contextmanager
def reading(site: Site, history: History) -> Iterator[list[Reader]]:
    readers = [Reader(site, history, seed) for seed in range(READERS)]
    for reader in readers:
        reader.start()
    try:
        yield readers
    finally:
        for reader in readers:
            reader.stopped = True
        for reader in readers:
            reader.join()


def test_each_answer_is_a_moment_between_its_request_and_its_arrival(module_database: str) -> None:
    """So none is older than a commit before it was asked for, none is torn, and no reader sees the model go back."""
    with serving(module_database, Keeping(1 << 20, 600.0)) as site:
        history, rng, before = History(site), random.Random(7), HITS._value.get()
        with reading(site, history) as readers:
            for _ in range(STEPS):
                history.step(rng)
                time.sleep(rng.choice((0, 0, 0.001, 0.01, 0.03)))
        assert [reader.wrong for reader in readers] == [[]] * READERS
        assert all(reader.answers for reader in readers)
        with closing(Reader(site, history, 0).connection) as last:
            for _ in range(2):
                assert {read(last, path) for path in PATHS} == {history.moments[-1]}
        assert HITS._value.get() > before + len(PATHS) - 1


def at_of(site: Site, model: str) -> int:
    return int(HTTP.get(f"{site.url}/v1/shelf/{model}/1").json()["at"])


def test_a_change_by_hand_shows_when_the_kept_answer_is_too_old(module_database: str) -> None:
    """No position moves by it, and no notice tells of it."""
    with serving(module_database, Keeping(1 << 20, 0.2)) as site:
        site.make("byhand", COLUMNS, ["id"], [[1, 7, 1, 0]], view=False)
        shown = partial(at_of, site, "byhand")
        assert [shown() for _ in range(3)] == [7] * 3
        site.db.execute("UPDATE shelf.byhand SET at = 8")
        until = time.monotonic() + 30
        seen = [shown()]
        while seen[-1] != 8:
            assert time.monotonic() < until
            seen.append(shown())
        assert sorted(seen) == seen
        assert [shown() for _ in range(5)] == [8] * 5


def test_a_view_of_another_declaration_is_another_answer(module_database: str) -> None:
    """The worker of new code replaces the view and notes its fingerprint in one commit; nothing else moves."""
    with serving(module_database, Keeping(1 << 20, 600.0)) as site:
        site.make("seen", COLUMNS, ["id"], [[1, 7, 1, 0]])
        site.db.execute("ALTER TABLE shelf.seen RENAME TO seen_table")
        for number in (1, 2, 3):
            with site.db.transaction():
                site.db.execute(
                    f"CREATE OR REPLACE VIEW shelf.seen AS SELECT id, at * {number} AS at, build, parked FROM shelf.seen_table"
                )
                site.db.execute("UPDATE refold.views SET serving = false")
                site.db.execute(
                    "INSERT INTO refold.views (domain, name, fingerprint, serving, served) VALUES ('shelf', 'seen', %s, true, '{}')",
                    (str(number),),
                )
            for _ in range(3):
                assert at_of(site, "seen") == 7 * number
