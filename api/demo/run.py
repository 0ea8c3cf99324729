"""The demo from receipts to rebuilt tables, in order; each step has a file of its own."""

import asyncio
import time
from collections.abc import Callable

from rich.console import Console

from refold.api.cli.output import say
from refold.api.cli.stack import Stack
from refold.api.demo import analyst, check, frames, households
from refold.api.demo.campaigns import checked_campaigns
from refold.api.demo.client import Client
from refold.api.demo.commands import commands
from refold.api.demo.folded import Outcomes, Streams, Watch
from refold.api.demo.frames import CheckedModel
from refold.api.demo.household_oracle import expected_households
from refold.api.demo.households import CheckedHouseholds
from refold.api.demo.latency import Latency, measure
from refold.api.demo.lines import checked_lines
from refold.api.demo.loyalty import Loyalty
from refold.api.demo.oracle import Expected, a_basket, expected
from refold.api.demo.progress import advancing
from refold.api.demo.rebuild import MODEL, Rebuild, rebuild
from refold.api.demo.receipts import Receipts
from refold.api.demo.sending import open_producer, send, send_markers
from refold.api.demo.summary import Summary
from refold.api.demo.tables import Tables
from refold.streams.errors import Unreachable

WARM_UP, COMMANDS, PER_S, ATTEMPTS = 50, 500, 50.0, 3


def run(stack: Stack, receipts: Receipts, loyalty: Loyalty, weeks: int, out: Console) -> Summary:
    """Run all steps on a running stack."""
    wanted = expected(receipts, weeks)
    tables = Tables(stack.settings.dsn())
    watch, client = Watch(stack.settings, tables, stack.ended), Client(stack.api_url)
    began = time.monotonic()
    outcomes = _ingest(stack, receipts, weeks, wanted, watch)
    took = time.monotonic() - began
    say(f"{outcomes.decided:,} commands decided, folded and shown in {took:.1f} s")
    client.demand(watch.position())
    analyst.ask(client, a_basket(receipts), out)
    rows = check.rows_until(client, receipts.end(weeks))
    checked = check.compare(wanted, rows, outcomes, check.refusals_until(client, receipts.end(weeks)))
    check.report(wanted, checked, outcomes, out)
    models = checked_lines(client, receipts, weeks)
    frames.report(models, out)
    cards, campaigns = _households(stack, receipts, loyalty, weeks, out)
    latency = _latency(stack, out)
    rebuilt = _rebuild(stack, out)
    equal = rebuilt.differing == 0 and check.rows_until(client, receipts.end(weeks)) == rows
    out.print(
        f"{'Every row is equal.' if equal else 'ROWS DIFFER after the rebuild.'}",
        style="bold green" if equal else "bold red",
    )
    tables.close()
    return Summary(weeks, wanted, outcomes, checked, [*models, *campaigns], cards, took, latency, rebuilt, equal)


def _ingest(stack: Stack, receipts: Receipts, weeks: int, wanted: Expected, watch: Watch) -> Outcomes:
    """Send all commands; wait until they are decided, folded by the core and shown by the models."""
    total, streams = wanted.size.commands, _streams(receipts, weeks)
    known = watch.outcomes(streams).decided
    if known:
        say(f"{known:,} of {total:,} commands were decided in an earlier run: sending them again has no effect")
    before = watch.folded()
    with open_producer(stack.settings) as producer:
        with advancing("sending commands", total) as advance:
            advance(0)
            send(producer, commands(receipts, weeks), advance)
        markers = send_markers(producer, stack.settings.partitions)
    with advancing("deciding and folding", total - known) as advance:
        outcomes = watch.wait_decided(
            streams, total, markers, lambda: advance(min(watch.folded() - before, total - known))
        )
    with advancing("folding read models", watch.folded()) as advance:
        watch.wait_shown(advance)
    return outcomes


def _households(
    stack: Stack, receipts: Receipts, loyalty: Loyalty, weeks: int, out: Console
) -> tuple[CheckedHouseholds, list[CheckedModel]]:
    """Send campaigns and coupons, wait for the reactors' points, and compare every household, campaign and coupon."""
    tables, client, within = Tables(stack.settings.dsn()), Client(stack.api_url), loyalty.until(receipts.end(weeks))
    client.demand(households.ingest(stack, tables, within).position())
    ours = households.comparable(tables, receipts, loyalty, weeks)
    wanted = expected_households(receipts, loyalty, weeks).only(ours)
    checked = households.compare(wanted, households.rows_of(client, ours), households.outcomes(tables, within))
    households.report(wanted, checked, client, out)
    campaigns = checked_campaigns(client, tables, within, loyalty.since(receipts.end(weeks)))
    frames.report(campaigns, out)
    tables.close()
    return checked, campaigns


def _streams(receipts: Receipts, weeks: int) -> Streams:
    lines = receipts.first(weeks)
    ids = (
        lines.select(name).unique().collect().to_series().cast(str).to_list() for name in ("basket_id", "product_id")
    )
    return Streams(*ids)


def _latency(stack: Stack, out: Console) -> Latency:
    """Measure single commands over HTTP; measure again if a process was killed meanwhile."""

    def measured() -> Latency:
        asyncio.run(measure(stack.api_url, WARM_UP, PER_S))
        return asyncio.run(measure(stack.api_url, COMMANDS, PER_S))

    say(f"latency: {COMMANDS} commands over HTTP at {PER_S:.0f} a second")
    found = _again(measured)
    analyst.show(
        out,
        f"{COMMANDS} commands over HTTP at {PER_S:.0f} a second, milliseconds",
        [
            {"from POST to": "answer", "p50": found.answer_p50, "p99": found.answer_p99},
            {"from POST to": "visible row", "p50": found.visible_p50, "p99": found.visible_p99},
        ],
    )
    return found


def _again(measured: Callable[[], Latency]) -> Latency:
    for left in reversed(range(ATTEMPTS)):
        try:
            return measured()
        except (OSError, EOFError, RuntimeError) as problem:
            if not left:
                raise Unreachable(f"The latency could not be measured: {problem}") from problem
            say(f"measuring again: {problem}")
            time.sleep(5)
    raise AssertionError


def _rebuild(stack: Stack, out: Console) -> Rebuild:
    found = rebuild(stack.settings)
    out.print(
        f"Rebuilt {MODEL} from the log: {found.events:,} events in {found.seconds:.1f} s, {found.events_per_s:,} a second; "
        f"{found.compared:,} rows compared, {found.differing:,} differing."
    )
    return found
