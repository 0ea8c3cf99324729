"""The commands `refold replay as-of` and `refold replay snapshots`: take, list and drop snapshots of read models."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from refold.api.cli import exits
from refold.api.cli.freed import say_dropped, size_text
from refold.api.cli.load_options import USUAL, LoadOptions
from refold.api.cli.moment_options import NO_MOMENT, MomentOptions
from refold.api.cli.numbers import period_of
from refold.api.cli.output import print_json, print_table, say
from refold.api.cli.replay import reported, say_failed
from refold.api.embedded.servers import connected
from refold.projections.errors import SnapshotInvalid
from refold.projections.tables import snapshots
from refold.projections.tables.snapshots import Snapshot
from refold.schemas.plurals import counted
from refold.streams.postgres.connection import answering, connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings


def as_of(
    *names: str,
    all: bool = False,  # noqa: A002 - the flag is --all
    wanted: MomentOptions = NO_MOMENT,
    name: str | None = None,
    load: LoadOptions = USUAL,
    json: bool = False,
) -> int:
    """Keep read models as they were at a moment, under a name.

    Args:
        names: read models, as `store_daily` or `retail.store_daily`.
        all: every read model.
        wanted: the moment.
        name: the snapshot's name; without one it is made of the moment.
        load: bounds of what it takes from the machine and from live traffic.
        json: print one JSON document.
    """
    if all == bool(names) or not wanted.is_named:
        say(
            "refold: name read models, or say --all; and say --at TIME or --position P, or --occurred-before TIME, or both"
        )
        return exits.USAGE
    settings = connected(Settings.load())
    moment = wanted.read(settings)
    with (
        answering(),
        load.replay(settings=settings) as replay,
        reported("as-of", lambda: replay.held_back) as report,
    ):
        done = replay.as_of(names, moment, moment.name if name is None else name, report)
    if json:
        print_json({**msgspec.to_builtins(done), "models": [_json(one) for one in done.models]})
    else:
        print_table([_line(one) for one in done.models])
        say(f"{counted(done.records, 'records')} in {done.seconds:,} s. Read it with ?snapshot={done.name}.")
    say_failed(done.failed, "in the snapshot")
    return exits.FAILED if done.failed else exits.DONE


def list_(*, json: bool = False) -> int:
    """List the snapshots of read models.

    Args:
        json: print one JSON document.
    """
    found = _do(())[0]
    _show(found, json=json)
    return exits.DONE


def drop(
    *names: str,
    older_than: Annotated[str | None, Parameter(negative=())] = None,
    execute: bool = False,
    json: bool = False,
) -> int:
    """Drop snapshots by name or by age.

    Args:
        names: snapshots; each with all its models.
        older_than: every snapshot that was taken longer ago, as `30d`, `12h` or `5m`.
        execute: do it, instead of only printing the plan.
        json: print one JSON document.
    """
    if (older_than is None) != bool(names):
        say("refold: name snapshots, or say --older-than AGE")
        return exits.USAGE
    before = None if older_than is None else datetime.now(UTC) - _age(older_than)
    there, chosen = _do(names, before, execute=execute)
    unknown = sorted(set(names) - {one.snapshot for one in there})
    if unknown:
        known = ", ".join(sorted({one.snapshot for one in there})) or "none"
        raise SnapshotInvalid(f"no snapshot is named {', '.join(unknown)}; there are: {known}")
    freed = sum(one.bytes for one in chosen)
    if json:
        print_json({"executed": execute, "bytes": freed, "snapshots": [_json(one) for one in chosen]})
        return exits.DONE
    if chosen:
        print_table([_line(one) for one in chosen])
    say_dropped(len(chosen), "tables", freed, execute=execute)
    return exits.DONE


def _do(
    names: Sequence[str], before: datetime | None = None, *, execute: bool = False
) -> tuple[list[Snapshot], list[Snapshot]]:
    """All snapshots, and those of the names or taken before a time, which are dropped."""
    with answering(), closing(connect(connected(Settings.load()).dsn(), application_name="snapshots")) as db:
        bootstrap(db)
        there = snapshots.snapshots(db)
        known = {one.snapshot for one in there}
        chosen = [
            one
            for one in there
            if one.snapshot in names or (before is not None and datetime.fromisoformat(one.created_at) < before)
        ]
        if execute and known.issuperset(names):
            snapshots.drop(db, chosen)
        return there, chosen


def _age(text: str) -> timedelta:
    found = period_of(text)
    if found is None:
        raise SnapshotInvalid(f"--older-than {text}: write 30d, 12h or 5m")
    return found


def _show(found: Sequence[Snapshot], *, json: bool) -> None:
    if json:
        print_json([_json(one) for one in found])
    else:
        print_table([_line(one) for one in found])


def _json(one: Snapshot) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(one)
    del said["served"], said["positions"]
    return {"name": said.pop("snapshot"), **said, "position": one.position}


def _line(one: Snapshot) -> dict[str, Any]:
    return {
        "name": one.snapshot,
        "model": f"{one.domain}.{one.model}",
        "at": one.at,
        "occurred before": one.occurred_before,
        "rows": f"{one.rows:,}",
        "size": size_text(one.bytes),
        "taken": one.created_at[:19],
        "position": one.position,
    }
