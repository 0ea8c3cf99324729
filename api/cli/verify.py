"""The command `refold replay verify`: compares live tables with the log, row by row, and changes nothing."""

from dataclasses import asdict

from refold.api.cli import exits
from refold.api.cli.differences import print_differences
from refold.api.cli.load_options import USUAL, LoadOptions
from refold.api.cli.output import print_json, print_table, say
from refold.api.cli.replay import reported, say_failed
from refold.api.cli.work_options import Processes
from refold.projections.replay.compare import LISTED
from refold.projections.replay.verify_beside import Verified, VerifyReport
from refold.schemas.plurals import counted
from refold.streams.postgres.connection import answering


def verify(
    *names: str,
    all: bool = False,  # noqa: A002 - the flag is --all
    load: LoadOptions = USUAL,
    processes: Processes = 1,
    json: bool = False,
) -> int:
    """Compare live tables with the log, row by row.

    Args:
        names: read models, as `store_daily` or `retail.store_daily`.
        all: every read model.
        load: bounds of what it takes from the machine and from live traffic.
        processes: how many processes read and decode; a single one has work for two cores.
        json: print one JSON document.
    """
    if all == bool(names):
        say("refold: name read models, or say --all")
        return exits.USAGE
    if not load.fits(processes):
        return exits.USAGE
    with (
        answering(),
        load.replay(processes) as replay,
        reported("verify", lambda: replay.held_back) as report,
    ):
        done = replay.verify(names, report)
    if json:
        print_json({**asdict(done), "listed_most": LISTED})
    else:
        _show(done)
    say_failed(done.failed, "verified")
    if any(not one.equal for one in done.models):
        return exits.DIFFERENT
    return exits.FAILED if done.failed else exits.DONE


def _show(done: VerifyReport) -> None:
    print_table([_line(one) for one in done.models])
    for one in done.models:
        if one.differing:
            say(f"{one.domain}.{one.model}:")
            print_differences(one.listed, one.differing)
    equal = sum(one.equal for one in done.models)
    say(
        f"{equal} of {len(done.models)} tables are what the log gives. {counted(done.records, 'records')} in {done.seconds:,} s:"
        f" {done.records_per_s:,}/s. Nothing was changed."
    )


def _line(one: Verified) -> dict[str, object]:
    return {
        "model": f"{one.domain}.{one.model}",
        "result": "equal" if one.equal else one.why or _differ(one.differing),
        "rows": f"{one.rows:,}",
        "served": f"{one.served:,}",
        "changed": one.changed,
        "missing": one.missing,
        "extra": one.extra,
        "columns": ", ".join(f"{name} ({number:,})" for name, number in one.columns.items()),
    }


def _differ(number: int) -> str:
    return "1 row differs" if number == 1 else f"{number:,} rows differ"
