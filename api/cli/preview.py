"""The command `refold replay preview`: what a declaration would change for readers, and what its rebuild takes."""

from collections.abc import Iterator
from dataclasses import asdict

from refold.api.cli import exits
from refold.api.cli.differences import print_differences
from refold.api.cli.load_options import USUAL, LoadOptions
from refold.api.cli.output import print_json, print_table, say
from refold.api.cli.replay import reported, say_failed
from refold.api.cli.work_options import Processes
from refold.projections.replay.compare import LISTED
from refold.projections.replay.preview import Previewed
from refold.projections.replay.preview_sampled import Sampled
from refold.projections.replay.sampling import Sample
from refold.schemas.plurals import counted
from refold.streams.postgres.connection import answering


def preview(
    *names: str,
    all: bool = False,  # noqa: A002 - the flag is --all
    code: str | None = None,
    sample: str | None = None,
    load: LoadOptions = USUAL,
    processes: Processes = 1,
    json: bool = False,
) -> int:
    """Say what this code's declarations of read models would change against what is served.

    Args:
        names: read models, as `store_daily` or `retail.store_daily`.
        all: every read model.
        code: a module whose READ_MODELS declares them instead, as `shop.projections_next`.
        sample: only this share of the streams, as `10%`; the same streams each time.
        load: bounds of what it takes from the machine and from live traffic.
        processes: how many processes read and decode; a single one has work for two cores.
        json: print one JSON document.
    """
    if all == bool(names):
        say("refold: name read models, or say --all")
        return exits.USAGE
    if not load.fits(processes):
        return exits.USAGE
    with answering():
        chosen = Sample.read(sample) if sample is not None else None
        with load.replay(processes) as replay, reported("preview", lambda: replay.held_back) as report:
            done = replay.preview(names, code, report, chosen)
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
    model = f"{one.domain}.{one.model}"
    if lines := list(_columns(one)):
        print_table(lines, f"{model}: columns")
    if one.differing:
        print_differences(one.listed, one.differing, "new", f"{model}: rows")
    if one.why is not None:
        said = f"rows are not compared: {one.why}"
    else:
        said = f"{counted(one.changed, 'rows')} would change, {one.missing:,} would appear, {one.extra:,} would vanish"
    say(f"{model}: {said}. {counted(one.rows, 'rows')}, now {one.served:,}.")
    if one.sampled is not None:
        _show_sample(one.sampled)
    if one.parked:
        say(f"{counted(one.parked, 'streams')} cannot be read by this code: rows lack their events.")
    bound = "about" if one.sampled is None else "at least"
    say(f"A rebuild takes {bound} {one.rebuild_s:,} s and about {one.rebuild_bytes:,} bytes. Nothing was changed.")


def _show_sample(of: Sampled) -> None:
    said = f"Only {of.percent} of the streams were folded, and {counted(of.compared, 'rows')} compared"
    if of.both_folded:
        say(f"{said}: both declarations were folded over the same streams, and no served row was compared.")
    elif of.estimate is not None:
        rows = f"{of.estimate.differing:,} of {counted(of.whole, 'rows')} differ in all"
        say(f"{said}. About {rows}: {of.estimate.low:,} to {of.estimate.high:,}, in 95 of 100 samples.")


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
