"""The command `refold replay preview`: what a declaration would change for readers, and what its rebuild takes."""

from collections.abc import Iterator
from dataclasses import asdict

from refold.api.cli import exits
from refold.api.cli.differences import print_differences
from refold.api.cli.load_options import USUAL, LoadOptions
from refold.api.cli.output import print_json, print_table, say
from refold.api.cli.plurals import counted
from refold.api.cli.replay import reported, say_failed
from refold.projections.replay.compare import LISTED
from refold.projections.replay.preview import Previewed
from refold.streams.postgres.connection import answering


def preview(name: str, *, code: str | None = None, load: LoadOptions = USUAL, json: bool = False) -> int:
    """Say what this code's declaration of a read model would change against what is served.

    Args:
        name: a read model, as `store_daily` or `retail.store_daily`.
        code: a module whose READ_MODELS declares it instead, as `shop.projections_next`.
        load: bounds of what it takes from the machine and from live traffic.
        json: print one JSON document.
    """
    with answering(), load.replay() as replay, reported("preview", lambda: replay.held_back) as report:
        done = replay.preview(name, code, report)
    if json:
        print_json({**asdict(done), "listed_most": LISTED})
    else:
        for one in done.models:
            _show(one)
    say_failed(done.failed, "previewed")
    if done.failed:
        return exits.FAILED
    return exits.DIFFERENT if done.changes else exits.DONE


def _show(one: Previewed) -> None:
    if lines := list(_columns(one)):
        print_table(lines)
    if one.differing:
        print_differences(one.listed, one.differing, "new")
    if one.why is not None:
        said = f"rows are not compared: {one.why}"
    else:
        said = f"{counted(one.changed, 'rows')} would change, {one.missing:,} would appear, {one.extra:,} would vanish"
    say(f"{one.domain}.{one.model}: {said}. {counted(one.rows, 'rows')}, now {one.served:,}.")
    if one.parked:
        say(f"{counted(one.parked, 'streams')} cannot be read by this code: rows lack their events.")
    say(f"A rebuild takes about {one.rebuild_s:,} s and {one.rebuild_bytes:,} bytes. Nothing was changed.")


def _columns(one: Previewed) -> Iterator[dict[str, object]]:
    """A line for each column that changes."""
    for name, kind in one.added.items():
        yield {"column": name, "would be": "added", "served": "", "new": kind, "rows": ""}
    for name, kind in one.removed.items():
        yield {"column": name, "would be": "removed", "served": kind, "new": "", "rows": ""}
    for name, (served, kind) in one.retyped.items():
        yield {"column": name, "would be": "retyped", "served": served, "new": kind, "rows": ""}
    for name, number in one.columns.items():
        yield {"column": name, "would be": "changed", "served": "", "new": "", "rows": f"{number:,}"}
