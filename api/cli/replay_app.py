"""The commands of `refold replay`, with their help texts; a command's module is imported when the command runs."""

from cyclopts import App

replay = App(
    name="replay", help="Rebuild or verify read models from the log, show or drop their builds, release parked streams."
)
replay.command(
    "refold.api.cli.replay:rebuild",
    name="rebuild",
    help="""Rebuild read models from the log beside the live tables, compare, and let the views show the new ones.

    Without --execute it only says what it would do. If it is killed, run the same command again: it continues. It names the rows
    that differ from the live ones, and promotes them only if --accept, --expect-changes or --max-changed allows it.

    With --throttle live traffic comes first. With --join, on this or another machine, it does some of the work of a rebuild that runs.

    Example: refold replay rebuild store_daily --execute

    Example: refold replay rebuild --all --throttle --execute

    Example: refold replay rebuild --all --execute --join""",
)
replay.command(
    "refold.api.cli.prepare:prepare",
    name="prepare",
    help="""Build the tables of a deploy before its workers start, and keep them up to date. Run it with the new code.

    The first models worker of the new code shows them to readers, all in one moment; then the command ends with 0. If it is stopped
    or killed, the tables are kept: run the same command again, or deploy. Without --execute it only says what it would do.

    Example: refold replay prepare --all --execute""",
)
replay.command(
    "refold.api.cli.verify:verify",
    name="verify",
    help="""Compare live tables with the log, row by row, while everything runs. Changes nothing. Exits with 3 if a row differs.

    It folds the log into tables of its own, compares both at one position, and drops its tables. It names the rows that differ, with
    the served value and the log's value of each column. With --throttle live traffic comes first.

    Example: refold replay verify store_daily --json""",
)
replay.command(
    "refold.api.cli.preview:preview",
    name="preview",
    help="""Say what this code's declaration of a read model would change against what is served. Changes nothing.

    It names the columns and rows that would differ, with the served and the new value, and the time and the bytes that a rebuild takes.
    It folds the log into a table of its own, compares both at one position, and drops its table. With --sample it folds some streams
    alone and estimates the rest. Exits with 3 if something would change.

    Example: refold replay preview store_daily

    Example: refold replay preview store_daily --code shop.projections_next --json

    Example: refold replay preview --all --sample 10%""",
)
replay.command(
    "refold.api.cli.repair:repair",
    name="repair",
    help="""Make some rows of a live table those that the log gives, while everything runs. No other row is written.

    Without --execute it names the rows that would change, with the served value and the log's value of each column. --where finds
    served rows alone: name a missing row by its key. Exits with 3 if rows are left as they are, since this code cannot compute them.

    Example: refold replay repair store_daily --keys 7,2026-01-31 --execute

    Example: refold replay verify store_daily --json | refold replay repair store_daily --keys - --execute""",
)
replay.command(
    "refold.api.cli.snapshots:as_of",
    name="as-of",
    help="""Keep read models as they were at a moment, under a name: `?snapshot=NAME` reads them. Live tables stay as they are.

    --at TIME takes all records that were appended before it, --position all before it in each partition. The moment must be past, and
    folded. --occurred-before TIME takes only events that occurred before it, as their senders said, whenever they were appended; beside
    --at or --position only those of these records. If the command is killed, run it again: it goes on.

    Example: refold replay as-of store_daily --at 2026-01-31 --name january

    Example: refold replay as-of store_daily --occurred-before 2026-02-01 --name january-sales""",
)
snapshots = App(name="snapshots", help="List and drop snapshots of read models.")
snapshots.command(
    "refold.api.cli.snapshots:list_",
    name="list",
    help="""List the snapshots of read models: name, moment, rows, size, and when each was taken.

    Example: refold replay snapshots list --json""",
)
snapshots.command(
    "refold.api.cli.snapshots:drop",
    name="drop",
    help="""Drop snapshots by name or by age. Without --execute it says what it would free.

    Example: refold replay snapshots drop --older-than 90d --execute""",
)
replay.command(snapshots)
replay.command(
    "refold.api.cli.builds:builds",
    name="builds",
    help="""List the builds of read models: live, shadow, retired and unfinished ones, their rows, size and position.

    A foreign build is of a declaration that this code lacks.

    Example: refold replay builds store_daily --json""",
)
replay.command(
    "refold.api.cli.builds:promote",
    name="promote",
    help="""Let readers see the finished build that a rebuild left as a shadow, because its rows differ.

    Without --execute it names the rows that differ from those that readers see now. Rows that differ are promoted only if --accept,
    --expect-changes or --max-changed allows it; otherwise it exits with 3.

    Example: refold replay promote store_daily --accept --execute""",
)
replay.command(
    "refold.api.cli.builds:rollback",
    name="rollback",
    help="""Let readers see the table again that served before the last promote. It was kept up to date, so this takes a moment.

    Without --execute it names the rows that would differ. The table that serves now is retired, so a second rollback undoes the first.

    Example: refold replay rollback store_daily --execute""",
)
replay.command(
    "refold.api.cli.builds:prune",
    name="prune",
    help="""Drop retired builds. Live folding writes them too, so this also saves it work. A rollback is not possible afterwards.

    Without --execute it says what it would free.

    Example: refold replay prune --execute""",
)
replay.command(
    "refold.api.cli.release:release",
    name="release",
    help="""Let a parked stream go on: fold its waiting events into the read models, or let a reactor answer them, in order.

    --all releases every parked stream, except those with an event that killed the process reading it: release these by name. A
    stream with an event that is still unreadable stays parked, and is listed.

    Example: refold replay release retail.basket 4711

    Example: refold replay release --all""",
)
replay.command(
    "refold.api.cli.drop:drop_",
    name="drop",
    help="""Drop tables and views of read models that this code no longer declares; `refold status` lists them.

    Without --execute it only says what it would do. It keeps each table that a running process still declares, or that one of your
    own views reads.

    Example: refold replay drop store_weekly --execute""",
)
replay.command(
    "refold.api.cli.audit:audit",
    name="audit",
    help="""Go over every record of the log and compare it with the core's tables, beside live traffic; changes nothing.

    Exits with 3 if a command has no outcome, an event counts twice, a version is missing, or a position is beyond the log.

    Example: refold replay audit --json""",
)
replay.command(
    "refold.api.cli.watch:watch",
    name="watch",
    help="""Show lag, rates, builds, parked streams and processes on one live screen, and whatever stands still, until Ctrl-C.

    Where stdout is no terminal it prints a line for each look, with --json a JSON document.

    Example: refold replay watch --every 2

    Example: refold replay watch --looks 2 --json""",
)
