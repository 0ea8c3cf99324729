"""The command `refold replay repair`: makes single rows of a live table those of the log, and leaves all others alone."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from refold.api.cli import exits
from refold.api.cli.differences import print_differences
from refold.api.cli.output import print_json, print_table, say
from refold.api.cli.repair_keys import wanted_keys, wanted_rows
from refold.api.cli.replay import reported
from refold.api.embedded.servers import connected
from refold.projections.replay.command import Replay
from refold.projections.replay.compare import LISTED
from refold.projections.replay.repair import Repaired
from refold.projections.tables.declared import declared
from refold.projections.tables.served import served_table
from refold.schemas.plurals import counted
from refold.streams.postgres.connection import answering
from refold.streams.settings import Settings

_SHOWN_LEFT = 20


def repair(
    name: str,
    /,
    *,
    keys: Annotated[list[str] | None, Parameter(negative=(), allow_leading_hyphen=True)] = None,
    keys_file: Annotated[list[str] | None, Parameter(negative=(), allow_leading_hyphen=True)] = None,
    where: Annotated[list[str] | None, Parameter(negative=())] = None,
    execute: bool = False,
    json: bool = False,
) -> int:
    """Fold some rows from the log again, and write those that differ into the live table.

    Args:
        name: a read model, as `store_daily` or `retail.store_daily`.
        keys: a row by its key, the columns joined by commas as in the row's path; repeat it for several. `-` reads stdin: a key a line, or what verify --json prints.
        keys_file: a file of keys, as `-` of --keys.
        where: rows that are served now, by a filter of the HTTP API, as `day=eq.2026-01-31`; all of several hold.
        execute: do it, instead of only naming the rows that would change.
        json: print one JSON document.
    """
    if (not keys and not keys_file) == (not where):
        say("refold: name rows by --keys (or --keys-file), or by --where")
        return exits.USAGE
    settings = connected(Settings.load())
    model = served_table(declared(settings.domains).named(name))
    wanted = wanted_rows(model, where, settings) if where else wanted_keys(model, keys or (), keys_file or ())
    with answering(), Replay(settings) as replay, reported("repair") as report:
        done = replay.repair(f"{model.domain}.{model.name}", wanted, report, execute=execute)
    if json:
        print_json({**asdict(done), "differing": done.differing, "listed_most": LISTED})
    else:
        _show(done)
    return exits.DIFFERENT if done.left_out else exits.DONE


def _show(done: Repaired) -> None:
    print_differences(done.rows, done.differing)
    if done.left_out:
        lines = [{"left as it is": ",".join(map(str, one.key.values())), "why": one.why} for one in done.left_out]
        print_table(lines[:_SHOWN_LEFT])
        if len(lines) > _SHOWN_LEFT:
            say(f"{_SHOWN_LEFT} of {len(lines):,} rows that are left as they are; --json has all.")
    verb = "are the log's now" if done.executed else "would change. Add --execute to write them"
    kinds = f"{done.changed:,} changed, {done.missing:,} missing, {done.extra:,} extra"
    say(
        f"{done.domain}.{done.model}: {done.differing:,} of {done.keys:,} rows {verb} ({kinds})."
        f" {counted(done.records, 'records')} in {done.seconds:,} s; the live tables stood still for {done.held_s:,} s."
    )
