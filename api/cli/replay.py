"""The command `refold replay rebuild`: shows its plan by default, acts with --execute."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from refold.api.cli import exits
from refold.api.cli.differences import print_differences
from refold.api.cli.gate_options import NO_GATES, GateOptions
from refold.api.cli.load_options import USUAL, LoadOptions
from refold.api.cli.output import print_json, print_table, progress, say
from refold.api.cli.work_options import ONE_PROCESS, WorkOptions
from refold.projections.errors import RebuildDiffers
from refold.projections.replay.builder import Progress
from refold.projections.replay.compare import LISTED
from refold.projections.replay.plan import Failed, Rebuilt, ReplayPlan, Report
from refold.schemas.plurals import counted
from refold.streams.postgres.connection import answering

_LINE_S = 2.0


def rebuild(
    *names: str,
    all: bool = False,  # noqa: A002 - the flag is --all
    execute: bool = False,
    allowed: GateOptions = NO_GATES,
    load: LoadOptions = USUAL,
    work: WorkOptions = ONE_PROCESS,
    json: bool = False,
) -> int:
    """Rebuild read models from the log, beside the live tables.

    Args:
        names: read models, as `store_daily` or `retail.store_daily`.
        all: every read model; fills an empty database, the core's tables included.
        execute: do it, instead of only printing the plan.
        allowed: the changes to what readers see that are allowed.
        load: bounds of what it takes from the machine and from live traffic.
        work: the processes and commands that take part.
        json: print one JSON document.
    """
    if all == bool(names):
        say("refold: name read models, or say --all")
        return exits.USAGE
    if not load.fits(work.processes, join=work.join):
        return exits.USAGE
    with answering(), load.replay(work.processes) as replay:
        gates = allowed.read(replay.found)
        plan = replay.plan(names)
        if not execute:
            _show_plan(plan, json=json)
            return exits.DONE
        with showing_differences(json=json), reported(note=lambda: replay.held_back) as report:
            done = (replay.join if work.join else replay.execute)(names, report, gates)
    _show_report(done, json=json)
    say_failed(done.failed, "rebuilt")
    return exits.FAILED if done.failed else exits.DONE


def say_failed(models: Sequence[Failed], done: str) -> None:
    """Print each model that was left out, with its reason. `done`: what it is not, as `rebuilt`."""
    for model in models:
        say(f"refold: {model.code}: {model.domain}.{model.model} is not {done}: {model.reason}")


@contextmanager
def showing_differences(*, json: bool) -> Iterator[None]:
    """Print the rows that differ if a gate refuses them."""
    try:
        yield
    except RebuildDiffers as problem:
        _show_differences(problem, json=json)
        raise


@contextmanager
def reported(what: str = "rebuild", note: Callable[[], str] = str) -> Iterator[Progress]:
    """Report progress on stderr with rate and remaining time: a bar on a terminal, else a line every two seconds.

    `note`: more words, or none.
    """
    if not sys.stderr.isatty():
        yield _Lines(note)
        return
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    began = time.monotonic()
    with Bar(*columns, console=progress) as bar:
        task = bar.add_task(what, total=None, rate="", note="")

        def report(done: int, total: int) -> None:
            rate = f"{done / (time.monotonic() - began):,.0f}"
            bar.update(task, completed=done, total=total, rate=rate, note=note())

        yield report


class _Lines:
    """Plain lines of progress."""

    def __init__(self, note: Callable[[], str]) -> None:
        self._note = note
        self._began = self._told = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told >= _LINE_S or done == total:
            self._told = now
            rate = done / max(now - self._began, 1e-9)
            more = f"; {said}" if (said := self._note()) else ""
            say(
                f"{done:,} of {counted(total, 'records')}, {rate:,.0f}/s, {(total - done) / max(rate, 1):,.0f} s left{more}"
            )


def _show_plan(plan: ReplayPlan, *, json: bool) -> None:
    if json:
        print_json(asdict(plan))
        return
    print_table([asdict(model) for model in plan.models])
    also = ", and the core's tables" if plan.fills else ""
    say(
        f"Would read {counted(plan.records, 'records')} into {counted(len(plan.models), 'tables')}{also}, in about {plan.estimated_s:,} s. Add --execute to do it."
    )


def _show_report(report: Report, *, json: bool) -> None:
    if json:
        print_json(asdict(report))
        return
    print_table([_without_rows(model) for model in report.models])
    if not report.led:
        say(f"This command folded {counted(report.records, 'records')} of the rebuild, which another one has ended.")
        return
    say(
        f"{counted(report.records, 'records')} in {report.seconds:,} s: {report.records_per_s:,}/s. The views show the new tables."
    )


def _without_rows(model: Rebuilt) -> dict[str, Any]:
    return {name: value for name, value in asdict(model).items() if name != "differences"}


def _show_differences(problem: RebuildDiffers, *, json: bool) -> None:
    """Show the rows that differ, and their columns; none of them was promoted."""
    build, compared = problem.build, problem.compared
    if json:
        named = {"domain": build.domain, "model": build.model, "build": build.number}
        print_json(
            {"code": problem.code, **named, "differing": compared.differing, **asdict(compared), "listed_most": LISTED}
        )
        return
    print_differences(compared.listed, compared.differing)
