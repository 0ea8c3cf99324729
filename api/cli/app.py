"""The `refold` command: lists every subcommand, and turns an error into one clear line and an exit code."""

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

import refold
from refold.api.cli import exits
from refold.api.cli.keys_app import keys
from refold.api.cli.output import print_json, say_why
from refold.api.cli.replay_app import replay
from refold.schemas.errors import RefoldError
from refold.streams import journal
from refold.streams.domain_path import order_search
from refold.streams.settings import Settings

app = App(
    name="refold",
    help="Commands in, immutable events in Kafka, read models in Postgres, all of them foldable again from the log.",
    version=refold.__version__,
    version_flags=["--version"],
)

# A command's module is imported when the command runs, so a worker does not import the demo. So the help texts are here.
app.command(
    "refold.api.cli.dev:dev",
    name="dev",
    help="""Run Kafka, Postgres, the workers and the API in the foreground, with one log. Ctrl-C stops them all.

    Example: refold dev --services-only""",
)
app.command(
    "refold.api.cli.demo:demo",
    name="demo",
    help="""Send four weeks of real receipts through the whole system, check the result to the cent, and measure.

    The servers stay up for you to look around, unless you pass --exit. The command exits with 3 if a number differs. Sending
    the same receipts again has no effect.

    Example: refold demo --weeks 1 --json --exit""",
)
app.command(
    "refold.api.cli.worker:worker",
    name="worker",
    help="""Run the handler, the core fold, the models fold and the reactors, or only ROLE, in the foreground.

    Without ROLE, each role runs in its own process, and is restarted when it ends.

    Example: refold worker core""",
)
app.command(
    "refold.api.cli.serve:api",
    name="api",
    help="""Serve commands, streams and read models over HTTP, in the foreground.

    Example: REFOLD_API_PORT=9000 refold api""",
)

app.command(
    "refold.api.cli.send:send",
    name="send",
    help="""Send one command, or a file of commands, through Kafka and wait for the outcomes. Exits with 1 unless all are accepted.

    Example: refold send retail.basket.OpenBasket --data '{"basket_id": "7", "store_id": 330}'

    Example: refold send --file commands.ndjson --results answers.ndjson""",
)
app.command(
    "refold.api.cli.publish:publish",
    name="publish",
    help="""Publish the CloudEvents that other systems write into a Kafka topic, as facts of a category, for as long as it runs.

    Example: refold publish sensors.readings plant.sensor""",
)
app.command(
    "refold.api.cli.status:status",
    name="status",
    help="""Show lag, writers, records that do not count, read models, builds, and streams that wait for a reactor.

    Example: refold status --json""",
)

app.command(
    "refold.api.cli.explain:explain",
    name="explain",
    help="""Say why a row is as it is: the events behind it, what each changed in which column, and the totals.

    Exits with 3 when the events do not add up to the row.

    Example: refold explain retail.store_daily 330,2026-01-31 --newest

    Example: refold explain retail.baskets 4711 --json""",
)
app.command(
    "refold.api.cli.trace:trace",
    name="trace",
    help="""Show what came of a command: outcome, events, the rows that they change, the reactors' commands, and so on.

    Example: refold trace 6f0d3c9e-5a3b-5d59-9f0e-0a5a6d3c7b11

    Example: refold trace 'till 3' --json""",
)
app.command(
    "refold.api.cli.sql:sql",
    name="sql",
    help="""Ask the read models by SQL, with the login that may only read.

    Without QUERY it opens psql in a terminal, and elsewhere prints the login's address, for any Postgres client.

    Example: refold sql 'SELECT * FROM refold.freshness'

    Example: psql "$(refold sql)" -c 'TABLE retail.store_daily'""",
)

domain = App(name="domain", help="Begin a domain, and check what the configured domains declare, without a server.")
domain.command(
    "refold.api.cli.domain:new",
    name="new",
    help="""Write a small whole domain into the current folder: contracts, rules, read models, tests, and its frozen schemas.

    It runs at once, and you change it into yours. It writes over nothing.

    Example: refold domain new library""",
)
domain.command(
    "refold.api.cli.domain:check",
    name="check",
    help="""Load every configured domain and check all that it declares: contracts, rules, read models, links, reactors.

    It ends at the first fault, with its place and the exit code of its kind.

    Example: refold domain check --json""",
)
app.command(domain)

schemas = App(name="schemas", help="Freeze, check and list the Avro schemas of events and commands.")
schemas.command(
    "refold.api.cli.schemas:freeze",
    name="freeze",
    help="""Write a new .avsc file for each event and command whose code equals none of its frozen files.

    Writes nothing if a new version breaks a rule of `refold schemas check`.

    Example: refold schemas freeze""",
)
schemas.command(
    "refold.api.cli.schemas:check",
    name="check",
    help="""Compare the code with the frozen files, and all versions with each other. Exits with 3 if a rule is broken.

    The rules ensure that each version can read the records of all others, older and newer.

    Example: refold schemas check --json""",
)
schemas.command(
    "refold.api.cli.schema_list:list_",
    name="list",
    help="""Show every released schema, and whether today's code writes it and the log has it.

    Example: refold schemas list --json""",
)
schemas.command(
    "refold.api.cli.log_check:log_check",
    name="log-check",
    help="""Decode every record of the log with today's code. Exits with 3 if an event that counts cannot be read.

    Example: refold schemas log-check --json""",
)
app.command(schemas)

log = App(name="log", help="Dump the log into files, restore it, and take forged claims out of count.")
log.command(
    "refold.api.cli.log_dump:dump",
    name="dump",
    help="""Write the log into files, while everything runs. Into the same folder again, it adds only new records.

    Example: refold log dump /backup/log""",
)
log.command(
    "refold.api.cli.log_dump:check",
    name="check",
    help="""Check every byte of a dump. Exits with 3 if one has changed. Needs no server.

    Example: refold log check /backup/log""",
)
log.command(
    "refold.api.cli.log_restore:restore",
    name="restore",
    help="""Put a dump back into Kafka, each record at its old offset, and read it back. Stop all workers and APIs before.

    Without --execute it only says what it would do. If it is killed, run the same command again: it continues. It refuses topics
    that hold records, unless --replace allows it to delete them first.

    Example: refold log restore /backup/log --execute""",
)
log.command(
    "refold.api.cli.log_void:void",
    name="void",
    help="""Take a forged claim out of count: one that leaves handlers no epochs, or that names rules unknown to all your code.

    Without OFFSET it lists the claims of the partition that can be taken out. Without --execute it only says what it would do. The
    log records who did it, when and why. Events are never taken out.

    Example: refold log void retail.basket.events 3 1207 --reason 'forged, ticket 4711' --execute""",
)
log.command(
    "refold.api.cli.log_void:voids",
    name="voids",
    help="""List the claims that operators have taken out of count: where, who, when and why.

    Example: refold log voids --json""",
)
app.command(log)

app.command(replay)

app.command(keys)

config = App(name="config", help="Show the settings and their sources.")
config.command(
    "refold.api.cli.config:show",
    name="show",
    help="""Print every setting with its value and its source; secrets are masked.

    Example: refold config show --json""",
)
app.command(config)


@app.command
def version(*, json: bool = False) -> None:
    """Print Refold's version.

    Example: refold version --json
    """
    if json:
        print_json({"version": refold.__version__})
    else:
        print(refold.__version__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit; the entry point of the script `refold` and of `python -m refold.api.cli.app`."""
    try:
        settings = Settings.load()
    except RefoldError:  # the command itself reports invalid settings
        journal.set_up(journal.CLI, Settings.for_lines())
    else:
        order_search(settings.domain_path)
        journal.set_up(journal.CLI, settings)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        result = app(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return exits.USAGE
    except RefoldError as error:
        say_why(error)
        return exits.exit_code(error)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:  # `refold … | head`
        sys.stderr.close()
        return exits.FAILED
    return result if isinstance(result, int) else exits.DONE


if __name__ == "__main__":
    main()
