"""A declared view that cannot be made or read is named with its reason, and everything else is served."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.api.http.resources import Resources
from refold.projections.declaring.declaration import ReadModel, View
from refold.projections.live.process import ensure_builds
from refold.projections.replay.command import Replay
from refold.projections.tables.declared import declared
from refold.projections.tables.serving import view_faults
from refold.retail import projections
from refold.retail.schemas.basket import BASKET, BasketOpened, ItemScanned
from refold.retail.views import STORE_TOTALS
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings
from tests.projections.test_replay import fold_live, quiet
from tests.streams.broker import DOMAINS, prepare

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SCANNED = ItemScanned(store_id=7, product_id=5, quantity=1, amount=Decimal("1.10"), discount=Decimal("0.00"))
ONE = {"store_id": ("integer", "Number of the store."), "n": ("integer", "Some number.")}


def view(name: str, sql: str, reads: Sequence[str] = ("store_daily",)) -> View:
    return replace(STORE_TOTALS, name=name, columns=ONE, units={}, reads=tuple(reads), sql=sql)


SOUND = (
    view("commented", "SELECT store_id, 1 AS n FROM retail.store_daily -- the end"),
    view("over_view", "SELECT store_id, days AS n FROM retail.store_totals", ["store_totals"]),
)
BUILD = f"refold_b{1 + sorted(name for _, name in declared(['retail']).layouts).index('store_daily')}"
"""Where a new database has the table of store_daily: builds are numbered by the models' names."""
FAULTY = {
    "typo": (view("typo", "SELECT store_id, 1 AS n FRM retail.store_daily"), "syntax error"),
    "no_column": (view("no_column", "SELECT store_id FROM retail.store_daily"), "column declared.n does not exist"),
    "no_function": (view("no_function", "SELECT store_id, nope(1) AS n FROM retail.store_daily"), "function nope"),
    "no_cast": (view("no_cast", "SELECT store_id, day AS n FROM retail.store_daily"), "cannot cast type date"),
    "unsaid": (
        view("unsaid", "SELECT 1 AS store_id, count(*) AS n FROM retail.baskets"),
        "reads retail.baskets, which",
    ),
    "inside": (view("inside", f"SELECT store_id, 1 AS n FROM {BUILD}.store_daily"), f"reads the table {BUILD}"),
    "over_typo": (view("over_typo", "SELECT * FROM retail.typo", ["typo"]), "reads retail.typo, which cannot be made"),
    "writes": (view("writes", "WITH a AS (DELETE FROM refold.voids RETURNING 1) SELECT 1 AS store_id, 1 AS n"), "WITH"),
}
DIVIDED = view("divided", "SELECT store_id, 1 / (store_id - 7) AS n FROM retail.store_daily")


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The retail domain with all of these views."""
    models: tuple[ReadModel, ...] = (*(one for one, _ in FAULTY.values()), DIVIDED, *SOUND, *projections.READ_MODELS)
    monkeypatch.setattr(projections, "READ_MODELS", models)
    prepare(settings)
    log = [Decided(BASKET.name, "b1", NOW, BasketOpened(store_id=7)), Decided(BASKET.name, "b1", NOW, SCANNED)]
    LogWriter(settings, DOMAINS).write(log)
    fold_live(settings)
    return settings


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient[Litestar]]:
    with TestClient(Resources(settings, DOMAINS).application()) as client:
        yield client


@pytest.mark.usefixtures("servers")
def test_each_faulty_view_is_named_with_its_reason_and_all_others_serve(
    settings: Settings, api: TestClient[Litestar], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {model["name"]: model["fault"] for model in api.get("/v1/retail").json()["read_models"]}
    for name, (_, reason) in FAULTY.items():
        assert reason in listed[name]
        for path in (f"/v1/retail/{name}", f"/v1/retail/{name}/7"):
            answer = api.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "read-model-failed")
            assert reason in answer.json()["detail"]
    for path in ("/v1/retail/divided", "/v1/retail/divided/7"):
        divided = api.get(path)
        assert (divided.status_code, divided.json()["code"]) == (503, "read-model-failed")
        assert "division by zero" in divided.json()["detail"]
    sound = ["baskets", "store_daily", "store_totals", "commented", "over_view"]
    assert [(api.get(f"/v1/retail/{name}").status_code, listed[name]) for name in sound] == [(200, None)] * len(sound)
    assert (
        api.get("/v1/retail/over_view/7").headers["refold-position"]
        == api.get("/v1/retail/store_daily").headers["refold-position"]
    )
    with connect(settings.dsn(), application_name="test") as db:
        assert [fault.view for fault in view_faults(db, settings.domains)] == sorted(FAULTY)

    with Replay(settings) as replay:
        assert all(model.differing == 0 for model in replay.execute((), quiet).models)

    mended = tuple(
        replace(m, sql=SOUND[0].sql) if m.name == "typo" and isinstance(m, View) else m for m in projections.READ_MODELS
    )
    monkeypatch.setattr(projections, "READ_MODELS", mended)
    with connect(settings.dsn(), application_name="test") as db:
        ensure_builds(db, declared(settings.domains))
        assert [fault.view for fault in view_faults(db, settings.domains)] == sorted(
            FAULTY.keys() - {"typo", "over_typo"}
        )
    assert api.get("/v1/retail/typo").status_code == 503, "what this process declares still cannot be made"
    with TestClient(Resources(settings, DOMAINS).application()) as new:
        assert new.get("/v1/retail/typo").json() == [{"store_id": 7, "n": 1}]
