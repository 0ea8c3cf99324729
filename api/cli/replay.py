"""`refold replay rebuild`: plan by default, act with --execute."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, progress, say
from refold.projections.rebuild import Progress
from refold.projections.replay import Replay
from refold.projections.replay_plan import Plan, Report
from refold.streams.embedded.servers import connected
from refold.streams.postgres import answering
from refold.streams.settings import Settings

_LINE_S = 2.0


def rebuild(*names: str, all: bool = False, execute: bool = False, json: bool = False) -> int:  # noqa: A002 - the flag is --all
    """Rebuild read models from the log, beside the live tables.

    Args:
        names: read models, as `store_daily` or `retail.store_daily`.
        all: every read model; fills an empty database, the core's tables included.
        execute: do it; without, only say what would be done.
        json: print one JSON document.
    """
    if all == bool(names):
        say("refold: name read models, or say --all")
        return exits.USAGE
    with answering(), Replay(connected(Settings.load())) as replay:
        plan = replay.plan(names)
        if not execute:
            _show_plan(plan, json=json)
            return exits.DONE
        with reported() as report:
            done = replay.execute(names, report)
    _show_report(done, json=json)
    for failed in done.failed:
        say(f"refold: {failed.code}: {failed.domain}.{failed.model} is not rebuilt: {failed.reason}")
    return exits.FAILED if done.failed else exits.DONE


@contextmanager
def reported(what: str = "rebuild") -> Iterator[Progress]:
    """A bar on a terminal; elsewhere a line each two seconds. Both with rate and remaining time, on stderr."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}/s"),
        TimeRemainingColumn(),
    )
    began = time.monotonic()
    with Bar(*columns, console=progress) as bar:
        task = bar.add_task(what, total=None, rate="")

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, rate=f"{done / (time.monotonic() - began):,.0f}")

        yield report


class _Lines:
    """Plain lines of progress."""

    def __init__(self) -> None:
        self._began = self._told = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told >= _LINE_S or done == total:
            self._told = now
            rate = done / max(now - self._began, 1e-9)
            say(f"{done:,} of {total:,} records, {rate:,.0f}/s, {(total - done) / max(rate, 1):,.0f} s left")


def _show_plan(plan: Plan, *, json: bool) -> None:
    if json:
        print_json(asdict(plan))
        return
    print_table([asdict(model) for model in plan.models])
    also = ", and the core's tables" if plan.fills else ""
    say(
        f"Would read {plan.records:,} records into {len(plan.models)} tables{also}, in about {plan.estimated_s:,} s. Add --execute to do it."
    )


def _show_report(report: Report, *, json: bool) -> None:
    if json:
        print_json(asdict(report))
        return
    print_table([asdict(model) for model in report.models])
    say(
        f"{report.records:,} records in {report.seconds:,} s: {report.records_per_s:,}/s. The views show the new tables."
    )
