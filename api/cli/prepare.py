"""The command `refold replay prepare`: shows its plan by default; with --execute it builds for a deploy, and follows."""

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, progress, say
from refold.api.cli.replay import reported, say_failed
from refold.api.cli.signals import interrupt_on_sigterm
from refold.api.embedded.servers import connected
from refold.projections.replay.following import Following, Prepared
from refold.projections.replay.prepare import DeployedModel, DeployPlan, Prepare, PrepareReport
from refold.schemas.plurals import counted
from refold.streams.postgres.connection import answering
from refold.streams.settings import Settings

_LINE_S = 10.0


def prepare(
    *names: str,
    all: bool = False,  # noqa: A002 - the flag is --all
    once: bool = False,
    execute: bool = False,
    accept: bool = False,
    json: bool = False,
) -> int:
    """Build the tables of a deploy before its workers start, and keep them up to date until these show them.

    Args:
        names: read models, as `store_daily` or `retail.store_daily`.
        all: every read model that this code declares otherwise than the table that serves, or that has none.
        once: end when the tables are built; the first worker catches up with what comes after.
        execute: do it, instead of only printing the plan.
        accept: prepare a table even if it has no row, and the one that serves has some.
        json: print one JSON document.
    """
    if all == bool(names):
        say("refold: name read models, or say --all")
        return exits.USAGE
    with answering(), Prepare(connected(Settings.load())) as command:
        if not execute:
            _show_plan(command.deploy_plan(names), json=json)
            return exits.DONE
        interrupt_on_sigterm()
        with reported("prepare") as report:
            done, following = command.prepare(names, report, accept=accept)
        with closing(following):
            say_failed(done.failed, "prepared")
            code = exits.FAILED if done.failed else exits.DONE
            if not once and not done.failed:
                done, code = _followed(done, following)
    _show(done, json=json)
    return code


def _followed(done: PrepareReport, following: Following) -> tuple[PrepareReport, int]:
    """Follow until the deploy is over, or until this process is told to stop."""
    lag = _Lag()
    try:
        return replace(done, models=following.run(lag)), exits.DONE
    except KeyboardInterrupt:
        say("Stopped. The tables are kept: run the same command again, and it goes on, or deploy.")
        return replace(done, models=lag.last), exits.INTERRUPTED


class _Lag:
    """Tells how far the tables are behind: one line that changes on a terminal, else a line every ten seconds."""

    def __init__(self) -> None:
        self.last: list[Prepared] = []
        self._told = 0.0

    def __call__(self, now: Sequence[Prepared]) -> None:
        changed = [one.state for one in now] != [one.state for one in self.last]
        self.last = list(now)
        waiting = sum(one.state == "prepared" for one in now)
        behind = max((one.behind for one in now), default=0)
        text = (
            f"{'1 table waits' if waiting == 1 else f'{waiting:,} tables wait'} for the deploy, {counted(behind, 'records')} behind"
            if waiting
            else f"Readers see all tables, {counted(behind, 'records')} behind; waiting for a models process that follows them"
        )
        if sys.stderr.isatty():
            progress.print(text, end="\r")
        elif changed or time.monotonic() - self._told >= _LINE_S:
            self._told = time.monotonic()
            say(text)


def _show_plan(plan: DeployPlan, *, json: bool) -> None:
    if json:
        print_json(asdict(plan))
        return
    print_table([_line(model) for model in plan.models])
    prepared = sum(model.change != "same" for model in plan.models)
    say(
        f"Would read {counted(plan.records, 'records')} into {counted(prepared, 'tables')}, in about {plan.estimated_s:,} s, and follow. The first models"
        " worker of this code shows them to readers, all in one moment. Add --execute to do it."
        if prepared
        else "Nothing to prepare: every table that serves is of this code's declaration."
    )


def _line(model: DeployedModel) -> dict[str, Any]:
    return {
        "model": f"{model.domain}.{model.model}",
        "change": model.change,
        "columns": ", ".join(model.columns),
        "serving": model.serving,
        "goes on with": model.goes_on,
        "records": f"{model.records:,}",
    }


def _show(done: PrepareReport, *, json: bool) -> None:
    if json:
        print_json(asdict(done))
        return
    if done.models:
        print_table([asdict(one) for one in done.models])
    if done.records:
        say(f"{counted(done.records, 'records')} in {done.seconds:,} s: {done.records_per_s:,}/s.")
    if any(one.state == "prepared" for one in done.models):
        say("The first models worker of this code shows the prepared tables to readers.")
    elif done.models:
        say("Readers see the tables, and models processes of this code keep them up to date.")
    elif not done.failed:
        say("Nothing to prepare: every table that serves is of this code's declaration.")
