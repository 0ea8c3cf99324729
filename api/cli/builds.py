"""The commands `refold replay builds`, `promote`, `rollback` and `prune`: they act on builds that are already there."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import Any

from refold.api.cli import exits
from refold.api.cli.differences import print_differences
from refold.api.cli.freed import say_dropped, size_text
from refold.api.cli.gate_options import NO_GATES, GateOptions
from refold.api.cli.output import print_json, print_table, say
from refold.api.cli.replay import showing_differences
from refold.api.embedded.servers import connected
from refold.projections.replay.build_list import Listed, build_list
from refold.projections.replay.kept_builds import KeptBuilds, Switched
from refold.projections.tables.declared import declared
from refold.streams.postgres.connection import answering, connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings


def builds(*names: str, json: bool = False) -> int:
    """List the builds of read models: state, rows, size, and where they stand.

    Args:
        names: read models, as `store_daily` or `retail.store_daily`; all without names.
        json: print one JSON document.
    """
    with _kept() as kept:
        listed = build_list(kept.db, kept.found, kept.prefix, names)
    if json:
        print_json([asdict(one) for one in listed])
    else:
        print_table([_line(one) for one in listed])
    return exits.DONE


def promote(
    *names: str,
    execute: bool = False,
    allowed: GateOptions = NO_GATES,
    json: bool = False,
) -> int:
    """Let readers see the finished build that a rebuild left as a shadow.

    Args:
        names: read models, as `store_daily` or `retail.store_daily`.
        execute: do it, instead of only printing the plan.
        allowed: the changes to what readers see that are allowed.
        json: print one JSON document.
    """
    if not names:
        return _name_some()
    with _kept() as kept, showing_differences(json=json):
        done = kept.promote(names, allowed.read(kept.found), execute=execute)
    _show(done, json=json, execute=execute)
    return exits.DONE


def rollback(*names: str, execute: bool = False, json: bool = False) -> int:
    """Let readers see the table again that served before the last promote.

    Args:
        names: read models, as `store_daily` or `retail.store_daily`; all change in one moment.
        execute: do it, instead of only printing the plan.
        json: print one JSON document.
    """
    if not names:
        return _name_some()
    with _kept() as kept:
        done = kept.rollback(names, execute=execute)
    _show(done, json=json, execute=execute)
    return exits.DONE


def prune(*names: str, unpromoted: bool = False, execute: bool = False, json: bool = False) -> int:
    """Drop retired builds.

    Args:
        names: read models, as `store_daily` or `retail.store_daily`; all without names.
        unpromoted: also drop shadows that were not promoted, and unfinished builds.
        execute: do it, instead of only printing the plan.
        json: print one JSON document.
    """
    with _kept() as kept:
        dropped = kept.prune(names, unpromoted=unpromoted, execute=execute)
    freed = sum(one.bytes for one in dropped)
    if json:
        print_json({"executed": execute, "bytes": freed, "builds": [asdict(one) for one in dropped]})
        return exits.DONE
    print_table([_line(one) for one in dropped])
    say_dropped(len(dropped), "builds", freed, execute=execute)
    return exits.DONE


@contextmanager
def _kept() -> Iterator[KeptBuilds]:
    settings = connected(Settings.load())
    found = declared(settings.domains)
    with answering(), closing(connect(settings.dsn(), application_name="builds")) as db:
        bootstrap(db)
        yield KeptBuilds(db, found, settings.topic_prefix)


def _name_some() -> int:
    say("refold: name read models")
    return exits.USAGE


def _show(done: Sequence[Switched], *, json: bool, execute: bool) -> None:
    if json:
        print_json({"executed": execute, "models": [asdict(one) for one in done]})
        return
    print_table([{name: value for name, value in asdict(one).items() if name != "differences"} for one in done])
    for one in done:
        if one.differing and not execute:
            print_differences(one.differences, one.differing, f"build {one.shown}")
    said = "; ".join(f"{one.domain}.{one.model}: build {one.shown}" for one in done)
    say(f"Readers see {said}." if execute else f"Readers would see {said}. Add --execute to do it.")


def _line(one: Listed) -> dict[str, Any]:
    """A build as a line of a table."""
    return {
        "model": f"{one.domain}.{one.model}",
        "build": one.build,
        "state": f"{one.state}, foreign" if one.foreign else one.state,
        "rows": "no table" if one.rows is None else f"{one.rows:,}",
        "size": size_text(one.bytes),
        "behind": one.behind,
        "detached": one.detached,
        "since": one.since[:19],
        "position": one.position,
    }
