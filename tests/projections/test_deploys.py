"""Old and new code side by side: each writes its tables, no table loses a row, and nothing stays apart in the end."""

import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from psycopg import sql

from refold.projections.declaring.declaration import Rollup
from refold.projections.live import apart
from refold.projections.live.apart import Writers
from refold.projections.live.follower import ApartFold
from refold.projections.live.models import ModelsFold
from refold.projections.live.process import ensure_builds
from refold.projections.replay import promote
from refold.projections.tables import builds, tables
from refold.projections.tables.declared import Declared, declared_of
from refold.streams.chunk import Chunk, Place
from refold.streams.core.limits import group_positions
from refold.streams.errors import DatabaseRefused, Lost
from refold.streams.postgres.connection import Database
from tests.projections.conftest import core_stands
from tests.projections.naive import Happened, naive_rows
from tests.projections.sample import ACCOUNTS, BALANCES, BY_OWNER, CATALOG, as_today, chunks_of
from tests.projections.test_models import balances, random_log, rows

NEW_OWNERS = Rollup(
    name="by_owner",
    domain="sample",
    description="As before, with less.",
    key=BY_OWNER.key,
    columns={name: column for name, column in BY_OWNER.columns.items() if name != "amount"},
)
OLD, NEW = declared_of((ACCOUNTS, BALANCES, BY_OWNER)), declared_of((ACCOUNTS, BALANCES, NEW_OWNERS))
PLACES = 4
"""Two partitions of two topics."""
Worker = tuple[ModelsFold, ApartFold]


@pytest.fixture
def workers(db: Database, database: str) -> Iterator[tuple[Worker, Worker]]:
    """One of old code and one of new, of a database whose tables the old one made."""
    ensure_builds(db, OLD)
    found = [(ModelsFold(database, "", CATALOG, code), ApartFold(database, "", CATALOG, code)) for code in (OLD, NEW)]
    yield found[0], found[1]
    for worker in found:
        for fold in worker:
            fold.close()


class Log:
    """What has happened so far, as one chunk a place."""

    def __init__(self, db: Database, seed: int) -> None:
        self._db, self.chance = db, random.Random(seed)
        self.all, self.happened = random_log(seed, 200), list[Happened]()
        self.whole: dict[Place, Chunk] = {}
        self._ends: dict[Place, int] = {}

    def grow(self) -> None:
        """Some more, judged by the core."""
        size = self.chance.randint(1, 25)
        more, self.all = self.all[:size], self.all[size:]
        self.happened += more
        for chunk in chunks_of(more, self._ends):
            before = self.whole.get(chunk.place)
            self.whole[chunk.place] = chunk if before is None else before.then(chunk)
        core_stands(self._db, self._ends)

    def fold(self, fold: ModelsFold, places: Sequence[Place]) -> None:
        """A worker folds what is new in the places that it owns, cut anywhere."""
        at = fold.stored(places)
        for place in places:
            chunk = self.whole[place].since(at[place])
            middle = chunk.start + self.chance.randint(0, len(chunk.values))
            for part in (chunk.upto(middle), chunk.since(middle)):
                if part.values:
                    assert fold.apply([part]) == {place: part.end}

    def follow(self, fold: ApartFold) -> None:
        """A follower reads everything that it finds, from where it stands."""
        at = fold.stored(sorted(self.whole))
        chunks = [self.whole[place].since(offset) for place, offset in at.items()]
        if chunks := [chunk for chunk in chunks if chunk.values]:
            fold.apply(chunks)


def shown(db: Database, found: Declared, name: str) -> list[dict[str, Any]]:
    return rows(db, found.named(name))


def right(found: Declared, log: Log, name: str) -> list[dict[str, Any]]:
    model = found.named(name).model
    if name == "balances":
        wanted = balances(log.happened)
        return [
            {"account": account, "owner": owner, "amount": amount, "streak": streak}
            for account, (owner, amount, streak) in wanted.items()
        ]
    return naive_rows(model, as_today(log.happened))


def promoted(db: Database, found: Declared, log: Log, name: str) -> builds.Build:
    """As `refold replay rebuild` ends: a table of all that was folded, which joins and is shown."""
    layout = found.named(name)
    build = builds.create(db, layout, found.fingerprints["sample", name], "building")
    tables.create(db, layout, build)
    stands = group_positions(db, builds.GROUP)
    with db.transaction():
        builds.lock_exclusive(db)
        for place, at in stands.items():
            write_all(db, found, build, log.whole[place].upto(at))
        builds.set_status(db, build, "shadow")
    promote.promote(db, found, layout, build)
    return build


def write_all(db: Database, found: Declared, build: builds.Build, chunk: Chunk) -> None:
    from refold.projections.live.member import write
    from refold.projections.partials.batch import batch_of, by_category, counted_events
    from refold.schemas.columns.decoder import ColumnDecoder

    decoder = ColumnDecoder(CATALOG, thin=True)
    for category, of_it in by_category("", [chunk]).items():
        batch = batch_of(category, of_it)
        counted = counted_events(decoder, found.types[category], batch, {}, [])
        write(db, build, found.named(build.model), {category: (batch, counted)}, [])


def living(*code: Declared) -> Writers:
    prints: list[Mapping[tuple[str, str], str]] = [found.fingerprints for found in code]
    return lambda _: prints


def joined(db: Database, found: Declared, writers: Writers) -> list[str]:
    return [
        build.model
        for build, layout in apart.known(found, builds.builds(db))
        if apart.join(db, "", build, layout, writers)
    ]


def states(db: Database) -> dict[str, tuple[str, bool]]:
    return {f"{b.model} {b.number}": (b.status, b.is_apart) for b in builds.builds(db)}


@pytest.mark.parametrize("seed", range(3))
def test_old_and_new_code_side_by_side_keep_every_table_right_there_and_back(
    db: Database, workers: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(apart, "SETTLED_S", 0.0)
    ((old, follows_old), (new, follows_new)), log = workers, Log(db, seed)
    while len(log.whole) < PLACES:
        log.grow()
    places = sorted(log.whole)
    ours, theirs = places[::2], places[1::2]
    log.fold(old, places)

    log.grow()
    log.fold(new, ours)
    log.fold(old, theirs)
    assert states(db)["by_owner 3"] == ("serving", True), "the new code lacks it"
    log.follow(follows_old)
    assert shown(db, OLD, "by_owner") == right(OLD, log, "by_owner")
    assert joined(db, OLD, living(OLD, NEW)) == [], "somebody lacks it"

    fresh = promoted(db, NEW, log, "by_owner")
    for _ in range(4):
        log.grow()
        log.fold(old, theirs)
        log.fold(new, ours)
        log.follow(follows_new)
        log.follow(follows_old)
        for name in ("by_owner", "accounts", "balances"):
            assert shown(db, NEW, name) == right(NEW, log, name)
    assert states(db) == {
        "accounts 1": ("serving", False),
        "balances 2": ("serving", False),
        "by_owner 3": ("retired", True),
        f"by_owner {fresh.number}": ("serving", True),
    }
    assert joined(db, NEW, living(OLD, NEW)) == []

    log.grow()
    log.fold(new, places)
    log.follow(follows_new)
    assert joined(db, NEW, living(NEW)) == ["by_owner"]
    log.grow()
    log.fold(new, places)
    assert shown(db, NEW, "by_owner") == right(NEW, log, "by_owner")
    assert states(db)[f"by_owner {fresh.number}"] == ("serving", False)

    log.fold(old, places)
    log.follow(follows_old)
    promoted(db, OLD, log, "by_owner")
    log.grow()
    log.fold(old, places)
    log.follow(follows_old)
    assert shown(db, OLD, "by_owner") == right(OLD, log, "by_owner")


def test_a_build_that_is_apart_is_written_with_the_group_where_it_stands_with_it_and_once(
    db: Database, workers: tuple[Worker, Worker]
) -> None:
    ((old, follows_old), (new, _)), log = workers, Log(db, 5)
    while len(log.whole) < PLACES:
        log.grow()
    log.fold(new, sorted(log.whole))
    log.grow()
    log.fold(old, sorted(log.whole))
    at = group_positions(db, builds.GROUP)
    assert group_positions(db, "build:3") != at, "what the new code has folded alone, nobody has read for it"
    log.follow(follows_old)
    assert group_positions(db, "build:3") == at
    log.grow()
    log.fold(old, sorted(log.whole))
    assert group_positions(db, "build:3") == group_positions(db, builds.GROUP), "without a follower"
    assert shown(db, OLD, "by_owner") == right(OLD, log, "by_owner")
    with pytest.raises(Lost):
        old.apply([log.whole[min(log.whole)]])
    log.follow(follows_old)
    assert shown(db, OLD, "by_owner") == right(OLD, log, "by_owner")


def test_a_build_is_followed_by_one_process_at_a_time(
    db: Database, database: str, workers: tuple[Worker, Worker]
) -> None:
    ((_, follows_old), (new, _)), log = workers, Log(db, 6)
    log.grow()
    log.fold(new, sorted(log.whole))
    other = ApartFold(database, "", CATALOG, OLD)
    assert [build.number for build, _ in follows_old.followed()] == [3]
    assert other.followed() == []
    follows_old.reconnect()
    assert [build.number for build, _ in other.followed()] == [3]
    other.close()


def test_a_table_that_postgres_refuses_is_set_apart_until_it_is_granted_again(
    db: Database, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "SETTLED_S", 0.0)
    ensure_builds(db, OLD)
    name = sql.Identifier(f"r_{uuid.uuid4().hex}")
    db.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'right' IN ROLE pg_read_all_data, pg_write_all_data").format(name)
    )
    url = f"postgresql://{name.as_string().strip(chr(34))}:right@{database.rpartition('@')[2]}"
    fold, follower, log = ModelsFold(url, "", CATALOG, OLD), ApartFold(url, "", CATALOG, OLD), Log(db, 8)
    while len(log.whole) < PLACES:
        log.grow()
    places = sorted(log.whole)
    log.fold(fold, places)

    db.execute(sql.SQL("REVOKE pg_write_all_data FROM {}").format(name))
    for schema in ("refold", "refold_b1", "refold_b2"):
        db.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA {} TO {}").format(sql.Identifier(schema), name))
    for _ in range(2):
        log.grow()
        log.fold(fold, places)
        with pytest.raises(DatabaseRefused, match="permission denied"):
            log.follow(follower)
    assert states(db)["by_owner 3"] == ("serving", True)
    assert shown(db, OLD, "accounts") == right(OLD, log, "accounts")

    db.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA refold_b3 TO {}").format(name))
    log.follow(follower)
    assert joined(db, OLD, living(OLD)) == ["by_owner"]
    log.grow()
    log.fold(fold, places)
    assert shown(db, OLD, "by_owner") == right(OLD, log, "by_owner")
    fold.close()
    follower.close()
    db.execute(sql.SQL("DROP OWNED BY {}").format(name))
    db.execute(sql.SQL("DROP ROLE {}").format(name))


def test_a_build_that_failed_is_not_followed_and_joins_no_more(
    db: Database, workers: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "SETTLED_S", 0.0)
    ((old, follows_old), (new, _)), log = workers, Log(db, 7)
    log.grow()
    log.fold(new, sorted(log.whole))
    db.execute("ALTER TABLE refold_b3.by_owner ADD CHECK (payments < 0)")
    for _ in range(4):
        log.grow()
        log.fold(old, sorted(log.whole))
        log.follow(follows_old)
    assert db.execute("SELECT detached_code FROM refold.builds WHERE build = 3").fetchone() == ("model-failed",)
    assert follows_old.followed() == []
    assert joined(db, OLD, living(OLD)) == []
    assert shown(db, OLD, "accounts") == right(OLD, log, "accounts")
