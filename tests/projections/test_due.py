"""Each change of a model names the command that is due, until it was run."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from refold.projections.declaring.declaration import View
from refold.projections.live.process import ensure_builds
from refold.projections.replay import promote
from refold.projections.replay.due import due
from refold.projections.replay.undeclared import chosen, drop, undeclared
from refold.projections.tables import builds, tables
from refold.projections.tables.changes import changes
from refold.projections.tables.declared import Declared, declared_of
from refold.streams.operation.presence import Me
from refold.streams.operation.running_code import running_code
from refold.streams.postgres.connection import Database
from tests.projections.sample import ACCOUNTS, BALANCES, BY_OWNER

OLD = declared_of((ACCOUNTS, BALANCES, BY_OWNER))
RENAMED = declared_of((ACCOUNTS, BALANCES, replace(BY_OWNER, name="per_owner")))
LESS = {name: column for name, column in BY_OWNER.columns.items() if name != "amount"}
CHANGED = declared_of((ACCOUNTS, BALANCES, replace(BY_OWNER, columns=LESS)))
KEYED = declared_of((ACCOUNTS, BALANCES, replace(BY_OWNER, key={"owner": BY_OWNER.key["owner"]})))
REMOVED = declared_of((ACCOUNTS, BALANCES))
REBUILD = "refold replay rebuild sample.{} --execute"


@pytest.fixture(autouse=True)
def _old_tables_serve(db: Database) -> None:
    ensure_builds(db, OLD)
    db.execute("INSERT INTO refold.positions (grp, topic, part, next_offset) VALUES ('models', 'account.events', 0, 7)")


def shown(db: Database, found: Declared) -> dict[str, tuple[str, str | None]]:
    return {one.name: (one.what, one.command) for one in due(db, found)}


def rebuilt(db: Database, found: Declared, name: str) -> None:
    """As a rebuild ends."""
    layout = found.named(name)
    build = builds.create(db, layout, found.fingerprints["sample", name], "shadow")
    tables.create(db, layout, build)
    promote.promote(db, found, layout, build)


def test_nothing_is_due_while_every_table_is_what_the_code_declares(db: Database) -> None:
    assert due(db, OLD) == []


def test_a_changed_model_is_rebuilt(db: Database) -> None:
    assert shown(db, CHANGED) == {"by_owner": ("changed", REBUILD.format("by_owner"))}
    assert "(-amount)" in due(db, CHANGED)[0].says
    rebuilt(db, CHANGED, "by_owner")
    assert due(db, CHANGED) == []
    assert shown(db, OLD) == {"by_owner": ("changed", REBUILD.format("by_owner"))}, "the way back is the same"


def test_a_model_with_another_key_is_rebuilt_and_the_key_is_said(db: Database) -> None:
    assert shown(db, KEYED) == {"by_owner": ("other-key", REBUILD.format("by_owner"))}
    assert due(db, KEYED)[0].says == "this code gives its rows another key than the table that serves has (-day)"
    rebuilt(db, KEYED, "by_owner")
    assert due(db, KEYED) == []


def test_a_renamed_model_is_built_first_and_the_old_one_dropped_then(db: Database) -> None:
    assert shown(db, RENAMED) == {
        "by_owner": ("removed", None),
        "per_owner": ("renamed", REBUILD.format("per_owner")),
    }
    before, now = due(db, RENAMED)
    assert "it seems to be per_owner now: build that first" in before.says
    assert "by_owner, which this code declares no more, has the same columns and key" in now.says
    rebuilt(db, RENAMED, "per_owner")
    assert shown(db, RENAMED) == {"by_owner": ("removed", "refold replay drop sample.by_owner --execute")}
    drop(db, RENAMED, chosen(undeclared(db, RENAMED), ["by_owner"], RENAMED))
    assert due(db, RENAMED) == []


def test_a_new_model_that_only_looks_like_two_former_ones_is_not_called_renamed(db: Database) -> None:
    two = declared_of((ACCOUNTS, BALANCES, BY_OWNER, replace(BY_OWNER, name="twin")))
    rebuilt(db, two, "twin")
    assert {one.model: one.kind for one in changes(db, RENAMED)}["per_owner"] == "new"
    assert shown(db, RENAMED)["per_owner"] == ("new", REBUILD.format("per_owner"))


def test_a_removed_model_is_dropped_once_no_process_declares_it(db: Database) -> None:
    assert shown(db, REMOVED) == {"by_owner": ("removed", "refold replay drop sample.by_owner --execute")}
    old = Me("models", running_code([]), OLD.fingerprints)
    old.beat(db)
    (one,) = due(db, REMOVED)
    assert (one.command, "First stop models" in one.says) == (None, True)
    old.leave(db)
    drop(db, REMOVED, chosen(undeclared(db, REMOVED), ["by_owner"], REMOVED))
    assert due(db, REMOVED) == []


def test_a_removed_view_is_dropped_too(db: Database) -> None:
    view = View(
        name="v", domain="sample", description="V.", columns={"n": ("bigint", "N.")}, key=("n",), reads=("by_owner",),
        sql="SELECT count(*) AS n FROM sample.by_owner",
    )  # fmt: skip
    ensure_builds(db, declared_of((ACCOUNTS, BALANCES, BY_OWNER, view)))
    assert shown(db, OLD) == {"v": ("removed", "refold replay drop sample.v --execute")}


@pytest.mark.parametrize(
    ("state", "what", "ours", "theirs"),
    [
        ({"status": "shadow", "detached_code": "prepared"}, "prepared", "refold replay prepare sample.by_owner --execute", "refold replay prune sample.by_owner --unpromoted --execute"),
        ({"status": "building", "prefix": "prepare-"}, "unfinished", "refold replay prepare sample.by_owner --execute", "refold replay prune sample.by_owner --unpromoted --execute"),
        ({"status": "building"}, "unfinished", REBUILD.format("by_owner"), REBUILD.format("by_owner")),
    ],
)  # fmt: skip
def test_what_a_stopped_command_left_is_named(
    db: Database, state: Mapping[str, Any], what: str, ours: str, theirs: str
) -> None:
    name = "sample", "by_owner"
    build = builds.create(
        db, CHANGED.named("by_owner"), state.get("prefix", "") + CHANGED.fingerprints[name], state["status"]
    )
    db.execute(
        "UPDATE refold.builds SET detached_code = %s WHERE build = %s", (state.get("detached_code"), build.number)
    )
    assert shown(db, CHANGED) == {"by_owner": (what, ours)}
    assert shown(db, OLD) == {"by_owner": (what, theirs)}
    db.execute("SELECT pg_advisory_lock(hashtextextended('refold/rebuild/sample.by_owner', 0))")
    assert due(db, CHANGED) == [], "its command runs"
    db.execute("SELECT pg_advisory_unlock_all()")


@pytest.mark.parametrize("start", [builds.VERIFIED, builds.PREVIEWED, builds.TAKEN])
def test_a_build_that_is_dropped_soon_hides_no_command_that_is_due(db: Database, start: str) -> None:
    builds.create(db, CHANGED.named("by_owner"), start + CHANGED.fingerprints["sample", "by_owner"], "building")
    assert shown(db, CHANGED) == {"by_owner": ("changed", REBUILD.format("by_owner"))}
    assert shown(db, OLD) == {}


def test_what_other_code_only_prepares_is_not_called_removed(db: Database) -> None:
    build = builds.create(db, RENAMED.named("per_owner"), RENAMED.fingerprints["sample", "per_owner"], "shadow")
    builds.prepare_within(db, build)
    assert undeclared(db, OLD) == []
    assert due(db, OLD) == []
    assert shown(db, RENAMED)["per_owner"] == ("prepared", "refold replay prepare sample.per_owner --execute")


def test_a_model_that_failed_is_rebuilt_once_the_cause_is_gone(db: Database) -> None:
    db.execute(
        "UPDATE refold.builds SET detached_code = 'sum-overflow', detached_reason = 'r' WHERE model = 'by_owner'"
    )
    assert shown(db, OLD) == {"by_owner": ("failed", REBUILD.format("by_owner"))}
