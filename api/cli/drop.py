"""The command `refold replay drop`: shows its plan by default, acts with --execute."""

from contextlib import closing
from dataclasses import asdict

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, say
from refold.api.embedded.servers import connected
from refold.projections.replay.undeclared import chosen, drop, undeclared
from refold.projections.tables.declared import declared
from refold.streams.postgres.connection import answering, connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings


def drop_(*names: str, all: bool = False, execute: bool = False, json: bool = False) -> int:  # noqa: A002 - the flag is --all
    """Drop tables and views of read models that this code does not declare any more.

    Args:
        names: as `gone` or `retail.gone`.
        all: everything that `refold status` lists as undeclared.
        execute: do it, instead of only printing the plan.
        json: print one JSON document.
    """
    if all == bool(names):
        say("refold: name the undeclared tables or views, or say --all")
        return exits.USAGE
    settings = connected(Settings.load())
    found = declared(settings.domains)
    with answering(), closing(connect(settings.dsn(), application_name="drop")) as db:
        bootstrap(db)
        there = undeclared(db, found)
        parts = chosen(there, [f"{one.domain}.{one.name}" for one in there] if all else names, found)
        if execute:
            drop(db, found, parts)
    rows = [asdict(part) for part in parts]
    if json:
        print_json({"dropped": execute, "undeclared": rows})
    else:
        if rows:
            print_table(rows)
        if not parts:
            say("Nothing is undeclared.")
        else:
            say(f"Dropped: {len(parts)}." if execute else f"Would drop {len(parts)}. Add --execute to do it.")
    return exits.DONE
