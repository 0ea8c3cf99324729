"""The command `refold dev`: runs everything in the foreground."""

from contextlib import ExitStack

from refold.api.cli.exits import DONE
from refold.api.cli.logs import SUPERVISOR, stderr_lines
from refold.api.cli.output import reporting, say
from refold.api.cli.roles import ALL
from refold.api.cli.signals import finish_undisturbed, interrupt_on_sigterm
from refold.api.cli.stack import Stack
from refold.api.embedded.servers import analyst_address
from refold.streams import journal
from refold.streams.settings import Settings


def dev(*, services_only: bool = False) -> int:
    """Run everything until Ctrl-C, SIGTERM, or a process that ends for good.

    Args:
        services_only: run only Kafka and Postgres, and print how to reach them as shell variables.
    """
    interrupt_on_sigterm()
    settings, roles = Settings.load(), () if services_only else ALL
    journal.set_up(SUPERVISOR, settings)
    with ExitStack() as until_the_end:
        with reporting("starting") as report:
            stack = until_the_end.enter_context(Stack(settings, report, stderr_lines, roles))
        try:
            announce(stack, services_only=services_only)
            code = stack.wait() or DONE
        except KeyboardInterrupt:
            code = DONE
        finish_undisturbed()
        say("stopping")
    return code


def announce(stack: Stack, *, services_only: bool) -> None:
    """Print how to reach the servers and processes."""
    if services_only:
        print(f"REFOLD_KAFKA={stack.settings.kafka_servers()}")
        print(f"REFOLD_DATABASE_URL={stack.settings.dsn()}", flush=True)
    else:
        say(
            f"API: {stack.api_url}   its documentation: {stack.api_url}/docs   Ctrl-C stops everything\n{addresses(stack)}"
        )


def addresses(stack: Stack) -> str:
    """How to reach the servers, by a read-only login if there is one, and what to type in another terminal."""
    settings = stack.settings
    analysts = analyst_address(settings)
    sql = f"SQL (may only read): psql '{analysts}'\n" if analysts else ""
    there = "In another terminal, in this folder: refold status   refold sql 'SELECT * FROM refold.freshness'"
    return f"{sql}Kafka: {settings.kafka_servers()}\n{there}"
