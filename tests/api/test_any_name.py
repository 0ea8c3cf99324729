"""Read models with columns named like our own names and SQL's words, read over HTTP: the rows of the naive fold."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.http.resources import Resources
from refold.projections.declaring.declaration import Model
from refold.projections.live.models import ModelsFold
from refold.projections.live.process import ensure_builds
from refold.projections.tables.declared import declared
from refold.streams.domain import Domains
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings
from tests.projections.conftest import core_stands
from tests.projections.naive import naive_rows
from tests.projections.named import Named, columns_of, words
from tests.projections.test_any_name import pg_words
from tests.streams.broker import prepare

PLACE = ("named.row.events", 0)
NAMED: list[Model] = []
"""What the domain's module declares: made by the test, since the words of SQL are the server's."""


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    prepare(settings)
    with connect(settings.dsn(), application_name="test") as connection:
        yield connection


@pytest.fixture
def api(
    settings: Settings, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient[Litestar]]:
    package = tmp_path / "named"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "projections.py").write_text("from tests.api.test_any_name import NAMED as READ_MODELS\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    named = Named(tuple(sorted({*words(), *pg_words(db)})))
    NAMED[:] = [
        model
        for at in range(0, len(named.fields), 300)
        for model in named.models((f"rollup_{at}", f"entity_{at}", "no"), columns_of(named.fields[at : at + 300]))[:2]
    ]
    log = named.log(streams=8)
    found = declared(["named"])
    ensure_builds(db, found)
    fold = ModelsFold(settings.dsn(), "", named.catalog, found)
    core_stands(db, {PLACE: len(log)})
    fold.stored([PLACE])
    fold.apply([named.chunk(log)])
    fold.close()
    of_it = settings.model_copy(update={"domains": ["named"]})
    with TestClient(
        Resources(of_it, Domains(("named",), named.catalog.categories, {}, {}, named.catalog)).application()
    ) as client:
        client.log = log  # type: ignore[attr-defined]  # the fixture's client carries its log
        yield client


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Sums are exact numbers, which travel as texts."""
    return {name: str(value) for name, value in row.items()}


@pytest.mark.usefixtures("servers")
def test_rows_over_http_are_the_naive_fold(api: TestClient[Litestar]) -> None:
    for model in NAMED:
        wanted = [plain(row) for row in naive_rows(model, api.log)]  # type: ignore[attr-defined]  # as above
        found = api.get(f"/v1/named/{model.name}")
        assert found.status_code == 200, found.text
        assert [plain(row) for row in found.json()] == wanted
        first = naive_rows(model, api.log)[0]  # type: ignore[attr-defined]  # as above
        names = [name for name in first if first[name] is not None]
        for at in range(0, len(names), 20):
            some = names[at : at + 20]
            asked = {f'"{name}"': f"eq.{first[name]}" for name in some} | {"order": f'"{some[0]}"'}
            filtered = api.get(f"/v1/named/{model.name}", params=asked)
            assert filtered.status_code == 200, filtered.text
            alike = [row for row in wanted if all(row[name] == str(first[name]) for name in some)]
            assert [plain(row) for row in filtered.json()] == alike
