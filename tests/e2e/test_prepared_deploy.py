"""A deploy that was prepared: while old code gives way to new, readers meet no detached model, no stale one and no mix."""

import math
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from refold.streams.settings import Settings
from tests.e2e import results
from tests.e2e.shops import Load, Site, fresh
from tests.e2e.tables import until
from tests.e2e.versions import WELL

OLD = """
READ_MODELS = (
    by_store("kept", lines=LINES),
    by_store("totals", lines=LINES, old=LINES),
    by_store("sums", lines=LINES, old=LINES),
    best("lines", "bigint"),
)
"""
NEW = """
READ_MODELS = (
    by_store("kept", lines=LINES),
    by_store("totals", lines=LINES, new=REVENUE),
    by_store("sums", lines=LINES, new=REVENUE),
    by_store("after", lines=LINES),
    best("new", "numeric(38,2)"),
)
"""
MODELS = "kept", "totals", "sums", "best"
# In one snapshot: does each of two changed models, and the view over one of them, show the new code's columns?
SEES = """
    SELECT DISTINCT to_jsonb(t) ? 'new', to_jsonb(s) ? 'new',
           b.worth::numeric = CASE WHEN to_jsonb(t) ? 'new' THEN (to_jsonb(t) ->> 'new')::numeric ELSE t.lines END
      FROM shop.totals t JOIN shop.sums s USING (store) JOIN shop.best b USING (store)
"""
SERVING = "SELECT model, coalesce(detached_code, '') FROM refold.builds WHERE status = 'serving' ORDER BY 1"
PREPARED = "SELECT model FROM refold.builds WHERE (status, detached_code) = ('shadow', 'prepared') ORDER BY 1"
FULL, NEVER_LATER_S = "DEPLOYS" in os.environ, 2


class Reader:
    """Asks one API for every model, and the database for all at once, as fast as it can while the block lasts."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.answers, self.detached, self.sees = 0, Counter[str](), Counter[tuple[object, ...]]()
        self.oldest: dict[str, int] = {}

    @contextmanager
    def reading(self, version: str) -> Iterator[None]:
        done = threading.Event()

        def read() -> None:
            with psycopg.connect(self._site.settings.dsn(), autocommit=True) as db:
                while not done.wait(0.02):
                    for model in MODELS:
                        self._note(model, self._site.headers(version, f"/v1/shop/{model}?limit=1"))
                    self.sees.update(db.execute(SEES.encode()).fetchall())

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        yield
        done.set()
        thread.join(30)

    def _note(self, model: str, headers: dict[str, str]) -> None:
        self.answers += 1
        self.detached.update([headers["refold-detached"]] if "refold-detached" in headers else [])
        self.oldest[model] = max(self.oldest.get(model, 0), math.ceil(float(headers["refold-age"])))


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Iterator[Site]:
    found = Site(settings, tmp_path, {"old": OLD, "new": NEW})
    yield found
    found.kill()


def running(site: Site, load: Load) -> None:
    """The old code serves every model, and every partition has records."""
    site.start("old", "core", "models", "api")
    until(lambda: site.get("old", "/readyz") == WELL, 60, "the old API is not ready")
    until(lambda: all(site.get("old", f"/v1/shop/{of}?limit=1") == WELL for of in MODELS), 60, "not all are served")
    until(lambda: load.lines > 600, 60, "no load")
    fresh(site, "kept", "totals", "sums")


def settled(site: Site) -> bool:
    """Whether the group writes every table that serves."""
    return all(code == "" for _, code in site.rows(SERVING))


def check(site: Site, load: Load) -> None:
    """Every table says what was written."""
    fresh(site, "kept", "totals", "sums", "after")
    for model in ("kept", "totals", "sums", "after"):
        assert site.rows(f"SELECT sum(lines)::bigint FROM shop.{model}") == [(load.lines,)], model


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_readers_of_a_prepared_deploy_meet_no_detached_model_and_no_mix(site: Site) -> None:
    load, reader = Load(site.settings), Reader(site)
    with load.written():
        running(site, load)
        prepare = site.begin("new", "prepare", "replay", "prepare", "--all", "--execute")
        until(lambda: site.rows(PREPARED) == [("after",), ("sums",), ("totals",)], 60, "not prepared")
        with reader.reading("old"):
            site.start("new", "models")
            until(lambda: prepare.poll() is not None, 60, "prepare does not end")
            assert prepare.returncode == 0
            assert site.rows(PREPARED) == []
            if FULL:
                site.start("new", "api")
                until(lambda: site.get("new", "/readyz") == WELL, 60, "the new API is not ready")
            with reader.reading("new" if FULL else "old"):
                site.stop("old", "models")
                until(lambda: settled(site), 60, "something stays apart")
    assert reader.detached == {}
    assert set(reader.sees) == {(False, False, True), (True, True, True)}
    check(site, load)
    results.note("prepared deploy", answers=reader.answers, **reader.oldest)
    if FULL:
        assert max(reader.oldest.values()) <= NEVER_LATER_S


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    "DEPLOYS" not in os.environ, reason="it shows what prepare spares readers: `python -m tests.e2e` runs it"
)
def test_readers_of_an_unprepared_deploy_meet_models_that_stand_by_themselves(site: Site) -> None:
    load, reader = Load(site.settings), Reader(site)
    with load.written():
        running(site, load)
        with reader.reading("old"):
            site.start("new", "models")
            until(lambda: not settled(site), 60, "the new code lacks nothing")
            site.run("new", "replay", "rebuild", "--all", "--execute")
            site.stop("old", "models")
            until(lambda: settled(site), 60, "something stays apart")
    assert set(reader.detached) == {"fingerprint"}
    check(site, load)
    results.note("deploy without prepare", answers=reader.answers, detached=reader.detached.total(), **reader.oldest)


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.skipif(not FULL, reason="`python -m tests.e2e` runs it")
def test_a_prepare_that_is_stopped_or_killed_goes_on_and_the_worker_catches_up_with_what_it_left(site: Site) -> None:
    load = Load(site.settings)
    with load.written():
        running(site, load)
        words = "replay", "prepare", "--all", "--execute"
        first = site.begin("new", "prepare", *words)
        until(lambda: len(site.rows(PREPARED)) == 3, 60, "not prepared")
        first.send_signal(signal.SIGTERM)
        assert first.wait(30) == 130
        builds = site.rows("SELECT build FROM refold.builds WHERE detached_code = 'prepared' ORDER BY 1")
        second = site.begin("new", "prepare", *words)
        until(lambda: b"0 records behind" in (site.room / "new-prepare.log").read_bytes(), 60, "does not follow")
        second.kill()
        second.wait()
        assert site.rows("SELECT build FROM refold.builds WHERE detached_code = 'prepared' ORDER BY 1") == builds
        lines = load.lines
        until(lambda: load.lines > lines + 400, 60, "no load")
        with (reader := Reader(site)).reading("old"):
            site.start("new", "models")
            until(lambda: site.rows(PREPARED) == [], 60, "not taken over")
            site.stop("old", "models")
            until(lambda: settled(site), 60, "something stays apart")
    assert reader.detached == {}
    assert set(reader.sees) <= {(False, False, True), (True, True, True)}
    check(site, load)


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.skipif(not FULL, reason="`python -m tests.e2e` runs it")
def test_what_is_prepared_too_late_is_shown_by_the_workers_that_run_already(site: Site) -> None:
    load = Load(site.settings)
    with load.written():
        running(site, load)
        site.start("new", "models")
        until(lambda: not settled(site), 60, "the new code lacks nothing")
        site.run("new", "replay", "prepare", "--all", "--once", "--execute")
        until(lambda: site.rows(PREPARED) == [], 60, "not taken over")
        site.stop("old", "models")
        until(lambda: settled(site), 60, "something stays apart")
    check(site, load)
