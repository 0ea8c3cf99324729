"""The command `refold demo`: sends real receipts and checks the result."""

import json as json_text
from contextlib import ExitStack
from typing import Annotated

from cyclopts import Parameter, validators
from rich.console import Console

from refold.api.cli.dev import addresses
from refold.api.cli.exits import DIFFERENT, DONE, INTERRUPTED
from refold.api.cli.numbers import whole
from refold.api.cli.output import data, progress, reporting, say
from refold.api.cli.signals import finish_undisturbed, interrupt_on_sigterm
from refold.api.cli.stack import Stack
from refold.api.demo.loyalty import Loyalty, open_loyalty
from refold.api.demo.receipts import Receipts, open_receipts
from refold.api.demo.run import run
from refold.streams.access_settings import ALONE
from refold.streams.errors import BadSettings
from refold.streams.settings import Settings

WIDTH = 120
TO_TRY = (
    "department_sales?select=department,percent&order=revenue.desc&limit=5",
    "household_weeks?select=first_week,weeks_since,households:count()&order=first_week,weeks_since",
    "store_daily/330,2017-01-08/explain?limit=2",
)
"""Three of the requests of docs/questions.md and docs/why.md: shares, cohorts, and why a number is so."""

Weeks = Annotated[int, Parameter(converter=whole, validator=validators.Number(gte=1))]
All = Annotated[bool, Parameter(name="--all", negative=())]
Exit = Annotated[bool, Parameter(name="--exit", negative=())]


def demo(*, weeks: Weeks = 4, all_: All = False, exit_: Exit = False, json: bool = False) -> int:
    """Send real receipts as commands and check what comes out.

    Args:
        weeks: how many weeks of receipts.
        all_: the whole year.
        exit_: end when done, instead of staying up.
        json: print one JSON object on stdout, everything else on stderr.
    """
    settings = Settings.load()
    if "retail" not in settings.domains:
        raise BadSettings("The demo needs the domain `retail` among REFOLD_DOMAINS.")
    if not ALONE & set(settings.api_doors):
        raise BadSettings("The demo sends its receipts without a key: it needs the door `local` of REFOLD_API_DOORS.")
    interrupt_on_sigterm()
    with ExitStack() as held:
        receipts, loyalty = held.enter_context(open_receipts()), held.enter_context(open_loyalty())
        try:
            with reporting("starting") as report:
                stack = held.enter_context(Stack(settings, report))
                report("waiting for the API")
                stack.wait_until_ready()
            weeks = receipts.weeks if all_ else min(weeks, receipts.weeks)
            code = _demonstrate(stack, receipts, loyalty, weeks, json=json)
        except KeyboardInterrupt:
            finish_undisturbed()
            say("stopping")
            return INTERRUPTED
        if not exit_:
            _stay(stack)
        finish_undisturbed()
    return code


def _demonstrate(stack: Stack, receipts: Receipts, loyalty: Loyalty, weeks: int, *, json: bool) -> int:
    out = progress if json else data
    if not out.is_terminal:
        out = Console(stderr=json, width=WIDTH)
    summary = run(stack, receipts, loyalty, weeks, out)
    if json:
        print(json_text.dumps(summary.as_json()), flush=True)
    return DONE if summary.equal else DIFFERENT


def _stay(stack: Stack) -> None:
    """Print what to ask and the addresses of everything, and wait for Ctrl-C."""
    say(closing_lines(stack.api_url, addresses(stack)))
    try:
        stack.wait()
    except KeyboardInterrupt:
        say("stopping")


def closing_lines(url: str, others: str) -> str:
    """What a reader of the demo can do next. `others`: the addresses of the servers."""
    tries = "\n".join(f"  curl '{url}/v1/retail/{request}'" for request in TO_TRY)
    return (
        f"\nIt stays up. Read models: {url}/v1/retail   documentation: {url}/docs   metrics: {url}/metrics\n"
        f"Look at it in a browser: {url}/console\n"
        f"{others}\n\nAsk it, for example; docs/questions.md has 32 questions with their requests and answers:\n{tries}\n"
        "Ctrl-C stops everything"
    )
