"""The command `refold send`: sends one command or a file of them through Kafka, reads outcomes from Postgres."""

from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from cyclopts import Parameter

from refold.api.cli import exits
from refold.api.cli.numbers import seconds, whole
from refold.api.cli.one_command import Sending, decided
from refold.api.cli.output import print_json, print_table, say
from refold.api.cli.send_file import send_file
from refold.api.embedded.servers import connected
from refold.api.errors import CommandUnknown
from refold.api.http.commands.outcomes import Outcome
from refold.api.http.commands.request import command_uuid_of, find_category, find_command, read_command
from refold.schemas.errors import BadValue
from refold.streams.domain import load_domains
from refold.streams.settings import Settings


def send(  # noqa: PLR0913 - the options of a command
    command: str | None = None,
    *,
    data: str = "",
    key: str | None = None,
    expect: Annotated[int | None, Parameter(converter=whole)] = None,
    wait: Annotated[float, Parameter(converter=seconds)] = 30.0,
    file: Path | None = None,
    results: Path | None = None,
    json: bool = False,
) -> int:
    """Send one command, or each line of a file, and wait for the outcomes.

    Args:
        command: DOMAIN.CATEGORY.COMMAND, such as retail.basket.OpenBasket.
        data: The command's fields as a JSON object.
        key: Idempotency key; the same for each retry. Default: a new one.
        expect: Version that the stream must have; 0: it must be new.
        wait: Seconds to wait for the outcome; 0: none.
        file: NDJSON, a command a line (docs/producing.md). If it is killed, run the same command again: a line's `id` makes it a retry.
            A line without `id` gets one made of the file's whole content and the line's number: it stays the same as
            long as the file does.
        results: With --file: write the answer to each line there, as NDJSON.
        json: Print the outcome as JSON.
    """
    if file is not None and command is None:
        return send_file(file, wait, results, json=json)
    if command is None or file is not None:
        say("refold: name either a command or --file")
        return exits.USAGE
    return _send_one(command, data, key, expect, wait, json=json)


def _send_one(command: str, data: str, key: str | None, expect: int | None, wait: float, *, json: bool) -> int:
    settings = connected(Settings.load())
    domains = load_domains(settings.domains)
    domain, _, rest = command.partition(".")
    short, _, name = rest.partition(".")
    if not name:
        raise CommandUnknown(f"{command!r} is not of the form DOMAIN.CATEGORY.COMMAND")
    category = find_category(domains, domain, short)
    try:
        body = read_command(find_command(category, name), data.encode())
    except BadValue as problem:
        raise BadValue(f"{problem.field}: {problem.message}", problem.field) from problem
    command_id = command_uuid_of(key) if key is not None else uuid4()
    found = decided(settings, domains, Sending(category, body, command_id, expect), wait)
    return _told({"command_id": str(command_id), "stream": category.stream_of(body), **_shown(found)}, json=json)


def _shown(outcome: Outcome | None) -> dict[str, Any]:
    if outcome is None:
        return {"status": "pending"}
    shown = {
        "status": "accepted" if outcome.accepted else "rejected",
        "version": outcome.version,
        "events": outcome.events,
    }
    return shown | {"code": outcome.code, "message": outcome.message, "position": outcome.position}


def _told(shown: dict[str, Any], *, json: bool) -> int:
    if json:
        print_json(shown)
    else:
        print_table([shown])
    if shown["status"] == "pending":
        say("The command is in the log, but not decided yet. Run the same command with --key to ask again.")
    return exits.DONE if shown["status"] == "accepted" else exits.FAILED
