"""A model whose table Postgres refuses or has no room for is reported, and the others go on."""

from dataclasses import replace

import pytest

from refold.projections.declaring.declaration import Rollup
from refold.projections.declaring.gathering import key
from refold.projections.errors import BadDeclaration
from refold.projections.live.process import ensure_builds
from refold.projections.tables import builds
from refold.projections.tables.declared import declared_of
from refold.projections.tables.layout import layout_of
from refold.streams.postgres.connection import Database
from tests.projections.sample import BY_OWNER, MODELS, spent


def test_more_columns_than_a_table_can_have_are_refused_when_they_are_declared() -> None:
    wide = replace(BY_OWNER, columns={f"c{n}": spent.count("All.") for n in range(1600)})
    with pytest.raises(BadDeclaration, match="by_owner: 1602 columns, hidden ones included"):
        layout_of(wide)
    keys = {f"k{n}": key("owner", "Who.") for n in range(33)}
    with pytest.raises(BadDeclaration, match="by_owner: 33 key columns"):
        layout_of(replace(BY_OWNER, key=keys))


@pytest.mark.usefixtures("servers")
def test_a_model_whose_name_is_taken_in_the_database_is_detached_alone(db: Database) -> None:
    db.execute("CREATE SCHEMA sample; CREATE TABLE sample.by_owner (mine int)")
    other: Rollup = replace(BY_OWNER, name="other")
    ensure_builds(db, declared_of((*MODELS, other)))
    found = {build.model: build.detached_reason for build in builds.builds(db)}
    sound = {name for name, reason in found.items() if reason is None}
    assert sound == {"other", *(model.name for model in MODELS)} - {"by_owner"}
    assert 'Postgres does not make its table: "by_owner" is not a view' in str(found["by_owner"])
    assert db.execute("SELECT count(*) FROM sample.other").fetchone() == (0,)
