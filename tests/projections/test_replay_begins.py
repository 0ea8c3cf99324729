"""A rebuild resumes its own unfinished build, and drops the others that it finds."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.projections.live.process import models_fold
from refold.projections.replay import promote
from refold.projections.replay.command import Replay
from refold.projections.tables import builds
from refold.projections.tables import tables as view_tables
from refold.projections.tables.declared import Declared, declared
from refold.streams.core.folds import core_folds
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings
from tests.projections.test_replay import Killed, fold_live, quiet, some_receipts
from tests.streams.broker import DOMAINS, prepare


@pytest.fixture(scope="module")
def retail() -> Declared:
    return declared(["retail"])


@pytest.fixture(scope="module")
def receipts() -> Sequence[Decided]:
    return some_receipts()[:1000]


@pytest.fixture
def db(settings: Settings, receipts: Sequence[Decided]) -> Iterator[Database]:
    prepare(settings)
    LogWriter(settings, DOMAINS).write(receipts)
    with connect(settings.dsn(), application_name="test") as connection:
        yield connection


def statuses(db: Database, model: str) -> list[str]:
    rows = db.execute("SELECT status FROM refold.builds WHERE model = %s ORDER BY build", (model,)).fetchall()
    return [status for (status,) in rows]


def test_a_rebuild_killed_between_join_and_promote_leaves_no_shadow_for_ever(
    settings: Settings, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live workers would write it with each transaction, and nobody would ever show it."""
    fold_live(settings)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(promote, "switch", die)
        with pytest.raises(Killed), Replay(settings) as replay:
            replay.execute(["baskets"], quiet)
    assert statuses(db, "baskets") == ["serving", "shadow"]
    with Replay(settings) as replay:
        (done,) = replay.execute(["baskets"], quiet).models
    assert done.differing == 0
    assert statuses(db, "baskets") == ["retired", "dropped", "serving"]
    assert db.execute("SELECT to_regclass('refold_b%s.baskets')" % (done.build - 1)).fetchone() == (None,)


def test_a_build_of_a_declaration_that_is_gone_does_not_hold_releases_for_ever(
    settings: Settings, db: Database, retail: Declared
) -> None:
    fold_live(settings)
    with db.transaction():
        old = builds.create(db, retail.named("baskets"), "of earlier code", "building")
        view_tables.create(db, retail.named("baskets"), old)
    with Replay(settings) as replay:
        replay.execute(["baskets"], quiet)
    assert statuses(db, "baskets") == ["retired", "dropped", "serving"]


def test_a_build_begins_only_once_a_release_that_is_under_way_is_done(settings: Settings, db: Database) -> None:
    """It would pass over the stream whose park it still sees, and the release would not know of it."""
    fold_live(settings)
    with Replay(settings) as replay, ThreadPoolExecutor(1) as other:
        with db.transaction():
            builds.lock_exclusive(db)
            begun = other.submit(replay.execute, ["baskets"], quiet)
            with pytest.raises(TimeoutError):
                begun.result(0.5)
            assert statuses(db, "baskets") == ["serving"]
        begun.result()
    assert statuses(db, "baskets") == ["retired", "serving"]


def test_an_empty_database_whose_tables_other_code_declared_is_filled(settings: Settings, db: Database) -> None:
    models_fold(settings).close()
    for fold in core_folds(settings):
        fold.close()
    db.execute("UPDATE refold.builds SET detached_code = 'fingerprint', fingerprint = 'x' WHERE model = 'baskets'")
    with Replay(settings) as replay:
        assert replay.plan(()).fills
        replay.execute((), quiet)
    assert statuses(db, "baskets") == ["dropped", "serving"]
