"""The command `refold replay watch`: one live screen of lag, rates, builds, parked streams and processes."""

import json as json_
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter, validators
from rich.console import Group, RenderableType
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from refold.api.cli import exits
from refold.api.cli.numbers import seconds, whole
from refold.api.cli.output import as_text, data, shown
from refold.api.embedded.servers import connected
from refold.api.watching import Moment, Watching
from refold.schemas.plurals import counted
from refold.streams.domain import load_domains
from refold.streams.postgres.connection import answering
from refold.streams.settings import Settings

Every = Annotated[float, Parameter(converter=seconds, validator=validators.Number(gte=0.1))]
Looks = Annotated[int | None, Parameter(converter=whole, validator=validators.Number(gte=1))]


def watch(*, every: Every = 1.0, looks: Looks = None, json: bool = False) -> int:
    """Show everything that moves, and whatever stands still, until Ctrl-C or for some looks.

    Args:
        every: Seconds between two looks.
        looks: End after so many looks, with 3 if something stands still in the last one.
        json: Print one JSON document a line for each look.
    """
    settings = connected(Settings.load())
    with answering():
        watching = Watching(settings, load_domains(settings.domains))
    last: Moment | None = None
    try:
        if json or not sys.stdout.isatty():
            for last in _moments(watching, every, looks):
                print(json_.dumps(asdict(last), default=as_text) if json else line(last), flush=True)
        else:
            with Screen(console=data, auto_refresh=False, screen=False) as screen:
                for last in _moments(watching, every, looks):
                    screen.update(picture(last), refresh=True)
    except KeyboardInterrupt:
        return exits.DONE
    return exits.DIFFERENT if last is not None and last.findings else exits.DONE


def _moments(watching: Watching, every: float, looks: int | None) -> Iterator[Moment]:
    done = 0
    while True:
        began = time.monotonic()
        yield watching.look()
        done += 1
        if looks is not None and done >= looks:
            return
        time.sleep(max(0.0, every - (time.monotonic() - began)))


def line(moment: Moment) -> str:
    """A moment in one line, for output that is no terminal."""
    parts = [f"{moment.at:%H:%M:%S}"]
    parts += [f"{pace.group} {pace.behind:,} behind" + _rate(", {}/s", pace.per_s) for pace in moment.groups]
    parts += [f"build {one.build} of {one.model} {_share(one.done, one.of)}" for one in moment.builds]
    parts += [f"{model} detached ({code})" for model, code in moment.detached.items()]
    parts += [f"{model} {counted(number, 'streams parked')}" for model, number in moment.parked.items()]
    parts += [f"STANDS STILL: {finding.code}" for finding in moment.findings]
    return "; ".join(parts)


def picture(moment: Moment) -> RenderableType:
    """A moment as tables, what stands still first."""
    parts: list[RenderableType] = [Text(f"{moment.at:%Y-%m-%d %H:%M:%S} UTC. Ctrl-C ends.")]
    parts += [shown(f"STANDS STILL ({each.code}): {each.says}\n  {each.do}", "bold red") for each in moment.findings]
    groups = [
        (pace.group, f"{pace.behind:,}", f"{pace.seconds:,.1f}", _rate("{}", pace.per_s), _rate("{} s", pace.left_s))
        for pace in moment.groups
    ]
    parts.append(_table(("group", "records behind", "seconds", "records/s", "left"), groups))
    running = [(one.role, f"{one.pid}@{one.host}", f"{one.up_s:,} s", one.waits) for one in moment.processes]
    parts.append(_table(("process", "pid", "up", "waits for"), running))
    if moment.builds:
        building = [
            (one.model, str(one.build), one.status, _share(one.done, one.of), f"{one.done:,} of {one.of:,}")
            for one in moment.builds
        ]
        parts.append(_table(("build of", "number", "status", "done", "records"), building))
    troubles = [(model, f"detached: {code}") for model, code in moment.detached.items()]
    troubles += [(model, counted(number, "streams parked")) for model, number in moment.parked.items()]
    if troubles:
        parts.append(_table(("read model", "trouble"), troubles))
    return Group(*parts)


def _table(names: tuple[str, ...], rows: Sequence[Sequence[str]]) -> Table:
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(shown(value) for value in row))
    return table


def _rate(words: str, number: float | None) -> str:
    return "" if number is None else words.format(f"{number:,.0f}")


def _share(done: int, of: int) -> str:
    return f"{100 * done / of:.0f} %" if of else "0 %"
