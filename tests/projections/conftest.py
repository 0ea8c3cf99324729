"""The sample domain over a real database, with a core that only reports its position."""

from collections.abc import Iterator

import pytest

from refold.projections.live.models import ModelsFold
from refold.projections.live.process import ensure_builds
from refold.projections.tables.declared import Declared, declared_of
from refold.streams.chunk import Place
from refold.streams.postgres.connection import Database, connect
from refold.streams.postgres.control_tables import bootstrap
from tests.projections.sample import CATALOG, MODELS


@pytest.fixture(scope="session")
def sample() -> Declared:
    return declared_of(MODELS)


@pytest.fixture
def db(database: str) -> Iterator[Database]:
    with connect(database, application_name="test") as connection:
        bootstrap(connection)
        yield connection


@pytest.fixture
def fold(db: Database, database: str, sample: Declared) -> Iterator[ModelsFold]:
    ensure_builds(db, sample)
    found = ModelsFold(database, "", CATALOG, sample)
    yield found
    found.close()


def core_stands(db: Database, positions: dict[Place, int]) -> None:
    for (topic, part), at in positions.items():
        db.execute(
            "INSERT INTO refold.positions (grp, topic, part, next_offset) VALUES ('core', %s, %s, %s)"
            " ON CONFLICT (grp, topic, part) DO UPDATE SET next_offset = excluded.next_offset",
            (topic, part, at),
        )
