"""Shops of two versions of one domain, under a load of baskets that is written into the log."""

import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import refold.retail.schemas
from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.retail.schemas.basket import BASKET, BasketOpened, ItemScanned
from refold.streams.domain import load_domains
from refold.streams.settings import Settings
from tests.e2e.tables import until
from tests.e2e.versions import Versions

STORES, BATCH, EVERY_S = 5, 40, 0.2
SCHEMAS = "from refold.retail.schemas import CATEGORIES\n"
RULES = "from refold.retail.streams import DECIDERS\n"
HEAD = """
from refold.projections.declaring.declaration import Rollup, View
from refold.projections.declaring.gathering import events, key
from refold.retail.schemas.basket import BASKET, BasketOpened, ItemScanned

opened, scanned = events(BASKET, BasketOpened), events(BASKET, ItemScanned)


def by_store(name, **columns):
    return Rollup(name=name, domain="shop", description="D.", key={"store": key("store_id", "S.")}, columns=columns)


def best(column, kind):
    return View(name="best", domain="shop", description="V.", columns={"store": ("integer", "S."), "worth": (kind, "W.")},
                key=("store",), reads=("totals",), sql=f"SELECT store, {column} AS worth FROM shop.totals")


LINES, REVENUE = scanned.count("Lines."), scanned.sum("amount", "Money.")
"""


class Site(Versions):
    """Shops of two versions, and what their APIs answered."""

    def __init__(self, settings: Settings, room: Path, models: Mapping[str, str]) -> None:
        """`models`: source of READ_MODELS, by version."""
        super().__init__(settings, room, "shop")
        self.answers: dict[str, Counter[str]] = {}
        frozen = Path(str(refold.retail.schemas.__file__)).parent / "frozen"
        for version, source in models.items():
            package = room / version / "shop"
            (package / "schemas").mkdir(parents=True)
            shutil.copytree(frozen, package / "schemas" / "frozen")
            (package / "__init__.py").write_text("")
            (package / "schemas" / "__init__.py").write_text(SCHEMAS)
            (package / "streams.py").write_text(RULES)
            (package / "projections.py").write_text(HEAD + source)

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
