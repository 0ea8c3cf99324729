"""Old and new code of a domain side by side under load, forward and back.

Every API answers, every table is right, and nothing stays apart.
"""

import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import refold.retail.schemas
from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.retail.schemas.basket import BASKET, BasketOpened, ItemScanned
from refold.streams.domain import load_domains
from refold.streams.settings import Settings
from tests.e2e.tables import until
from tests.e2e.versions import WELL, Versions

STORES, BATCH, EVERY_S = 5, 40, 0.2
SCHEMAS = "from refold.retail.schemas import CATEGORIES\n"
RULES = "from refold.retail.streams import DECIDERS\n"
HEAD = """
from refold.projections.declaring.declaration import Rollup, View, events, key
from refold.retail.schemas.basket import BASKET, BasketOpened, ItemScanned

opened, scanned = events(BASKET, BasketOpened), events(BASKET, ItemScanned)


def by_store(name, **columns):
    return Rollup(name=name, domain="shop", description="D.", key={"store": key("store_id", "S.")}, columns=columns)


def best(column, kind):
    return View(name="best", domain="shop", description="V.", columns={"store": ("integer", "S."), "worth": (kind, "W.")},
                key=("store",), reads=("totals",), sql=f"SELECT store, {column} AS worth FROM shop.totals")


LINES, REVENUE = scanned.count("Lines."), scanned.sum("amount", "Money.")
"""
OLD = """
READ_MODELS = (
    by_store("kept", lines=LINES),
    by_store("totals", lines=LINES, removed=LINES, revenue=REVENUE),
    by_store("gone", lines=LINES),
    by_store("before", lines=LINES),
    best("lines", "bigint"),
)
"""
NEW = """
READ_MODELS = (
    by_store("kept", lines=LINES),
    by_store("totals", inserted=opened.count("Baskets."), lines=REVENUE, renamed=REVENUE, added=LINES),
    by_store("after", lines=LINES),
    by_store("more", lines=LINES),
    best("renamed", "numeric(38,2)"),
)
"""


class Site(Versions):
    """Shops of two versions, and what their APIs answered."""

    def __init__(self, settings: Settings, room: Path) -> None:
        super().__init__(settings, room, "shop")
        self.answers: dict[str, Counter[str]] = {}
        frozen = Path(str(refold.retail.schemas.__file__)).parent / "frozen"
        for version, models in {"old": OLD, "new": NEW}.items():
            package = room / version / "shop"
            (package / "schemas").mkdir(parents=True)
            shutil.copytree(frozen, package / "schemas" / "frozen")
            (package / "__init__.py").write_text("")
            (package / "schemas" / "__init__.py").write_text(SCHEMAS)
            (package / "streams.py").write_text(RULES)
            (package / "projections.py").write_text(HEAD + models)

    @contextmanager
    def asked(self, version: str, *models: str) -> Iterator[None]:
        """Each model is asked for all the time while the block lasts; `answers` counts what came."""
        counts = self.answers.setdefault(version, Counter())
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                counts.update(self.get(version, f"/v1/shop/{model}?limit=1") for model in models)
                done.wait(0.02)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        yield
        done.set()
        thread.join()


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Iterator[Site]:
    found = Site(settings, tmp_path)
    yield found
    found.kill()


class Load:
    """Baskets of one line each, written all the time while the block lasts."""

    def __init__(self, settings: Settings) -> None:
        self._writer = LogWriter(settings, load_domains(["retail"]))
        self.lines = 0
        self._done = threading.Event()

    @contextmanager
    def written(self) -> Iterator[None]:
        self._done.clear()
        thread = threading.Thread(target=self._write, daemon=True)
        thread.start()
        yield
        self._done.set()
        thread.join()

    def _write(self) -> None:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        while not self._done.wait(EVERY_S):
            more = []
            for basket in range(self.lines + 1, self.lines + BATCH + 1):
                at, store = start + timedelta(seconds=basket), basket % STORES
                line = ItemScanned(
                    store_id=store, product_id=1, quantity=1, amount=Decimal(basket) / 100, discount=Decimal("0.00")
                )
                events = BasketOpened(store_id=store), line
                more += [Decided(BASKET.name, f"b{basket}", at, event) for event in events]
            self._writer.write(more)
            self.lines += BATCH


_BEHIND = """
    SELECT b.model FROM refold.builds b WHERE b.status = 'serving' AND b.model = ANY('{{{models}}}') AND EXISTS (
        SELECT FROM refold.positions c LEFT JOIN refold.model_positions('shop', b.model) m USING (topic, part)
         WHERE c.grp = 'core' AND c.topic LIKE '%retail.basket.events' AND c.next_offset > coalesce(m.next_offset, 0))
"""


def fresh(site: Site, *models: str) -> None:
    """Until each of the models stands where the core stood or further: read twice, since both move."""
    until(lambda: not site.rows(_BEHIND.format(models=",".join(models))), 60, f"{models} stay behind")


def apart(site: Site) -> list[tuple[object, ...]]:
    return site.rows(
        "SELECT model, status, detached_code FROM refold.builds WHERE status = 'serving' AND detached_code IS NOT NULL"
    )


@pytest.mark.e2e
@pytest.mark.timeout(420)
def test_two_versions_side_by_side_under_load_forth_and_back(site: Site) -> None:
    site.start("old", "core", "models", "api")
    until(lambda: site.get("old", "/readyz") == WELL, 60, "the old API is not ready")
    load = Load(site.settings)
    with load.written():
        for model in ("kept", "totals", "gone", "before", "best"):
            until(lambda of=model: site.get("old", f"/v1/shop/{of}?limit=1") == WELL, 60, f"{model} is not served")  # type: ignore[misc]  # bound at once
        fresh(site, "kept", "totals", "gone", "before")
        with site.asked("old", "kept", "totals", "gone", "before", "best"):
            site.start("new", "models", "api")
            until(lambda: site.get("new", "/readyz") == WELL, 60, "the new API is not ready")
            until(lambda: len(apart(site)) == 3, 60, "the new code lacks three")
            with site.asked("new", "kept", "totals", "best"):
                time.sleep(2)
                site.run("new", "replay", "rebuild", "--all", "--execute")
                until(lambda: len(apart(site)) >= 3, 60, "the old code lacks what is new")
                time.sleep(2)
                assert site.get("new", "/v1/shop/after?limit=1") == WELL
                site.stop("old", "models")
                until(
                    lambda: {model for model, *_ in apart(site)} == {"gone", "before"}, 60, "what is new is not joined"
                )
    assert {version: set(counts) for version, counts in site.answers.items()} == {"old": {WELL}, "new": {WELL}}
    site.stop("old", "api")
    fresh(site, "kept", "totals", "after", "more")
    check(site, "new", "lines", "added", load.lines)

    if os.environ.get("DEPLOYS"):
        and_back(site, load)


def and_back(site: Site, load: Load) -> None:
    """The old code again, while the new one runs."""
    with load.written():
        site.start("old", "models", "api")
        until(lambda: site.get("old", "/readyz") == WELL, 60, "the old API is not ready")
        with site.asked("old", "kept", "totals", "gone", "before", "best"):
            site.run("old", "replay", "rebuild", "--all", "--execute")
            site.stop("new", "models", "api")
            until(lambda: {model for model, *_ in apart(site)} == {"after", "more"}, 60, "what is old is not joined")
    assert set(site.answers["old"]) == {WELL}
    fresh(site, "kept", "totals", "gone", "before")
    check(site, "old", "revenue", "lines", load.lines)
    report = json.loads(site.run("old", "replay", "rebuild", "--all", "--execute", "--json"))
    assert {model["differing"] for model in report["models"]} == {0}


def check(site: Site, version: str, money: str, lines: str, written: int) -> None:
    """Both tables say what was written, and so does the view."""
    ((counted, total),) = site.rows(f"SELECT sum({lines})::bigint, sum({money}) FROM shop.totals")
    assert counted == written
    assert site.rows("SELECT sum(lines)::bigint FROM shop.kept") == [(written,)]
    worth = {"new": total, "old": counted}[version]
    assert site.rows("SELECT sum(worth) FROM shop.best") == [(worth,)]
