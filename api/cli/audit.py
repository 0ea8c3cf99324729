"""The command `refold replay audit`: the ledger of the log against the tables, beside live traffic."""

from collections import Counter
from contextlib import closing
from dataclasses import asdict
from typing import Any

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, say
from refold.api.cli.replay import reported
from refold.api.embedded.servers import connected
from refold.schemas.plurals import counted
from refold.streams.domain import load_domains
from refold.streams.operation.audit.audit import audit as audited
from refold.streams.operation.audit.ledger import LISTED, Audit
from refold.streams.postgres.connection import answering, connect
from refold.streams.settings import Settings

_SHOWN = 20


def audit(*, json: bool = False) -> int:
    """Go over every record of the log and compare it with the tables; exit with 3 if something is lost, double or differs.

    Args:
        json: Print one JSON document, with up to 1,000 findings and foreign records.
    """
    settings = connected(Settings.load())
    domains = load_domains(settings.domains)
    with answering(), closing(connect(settings.dsn(), application_name="audit")) as db, reported("audit") as progress:
        found = audited(settings, domains, db, progress)
    if json:
        print_json(_document(found))
    else:
        _show(found)
    return exits.DIFFERENT if found.kinds else exits.DONE


def _document(found: Audit) -> dict[str, Any]:
    return {**asdict(found), "kinds": dict(found.kinds), "listed_most": LISTED}


def _summed(found: Audit, *names: str) -> list[dict[str, Any]]:
    """The sums of the commands' ledgers, those with the most commands first unless by partition."""
    sums: dict[tuple[Any, ...], Counter[str]] = {}
    for ledger in found.commands:
        counts = {name: getattr(ledger, name) for name in ("commands", "decided", "repeats", "waiting")}
        sums.setdefault(tuple(getattr(ledger, name) for name in names), Counter()).update(counts)
    rows = [{**dict(zip(names, key, strict=True)), **counts} for key, counts in sums.items()]
    return rows if "part" in names else sorted(rows, key=lambda row: -row["commands"])


def _show(found: Audit) -> None:
    print_table([asdict(ledger) for ledger in found.events], "events")
    print_table(_summed(found, "topic", "part"), "commands")
    senders = _summed(found, "sender")
    print_table(senders[:_SHOWN], "senders")
    if len(senders) > _SHOWN:
        say(f"{_SHOWN} of {len(senders):,} senders; --json has every sender in each partition.")
    if found.foreign:
        print_table([asdict(one) for one in found.foreign[:_SHOWN]], "foreign records, which every reader skips")
    if not found.kinds:
        records = sum(ledger.records for ledger in found.events) + sum(ledger.commands for ledger in found.commands)
        say(
            f"{counted(records, 'records')}: every command has one outcome or waits, every event is counted once or left out for a reason."
        )
        return
    print_table([asdict(one) for one in found.findings[:_SHOWN]], "findings")
    many = ", ".join(f"{number:,} {kind}" for kind, number in sorted(found.kinds.items()))
    say(f"refold: the tables are not the fold of the log: {many}. docs/replay.md says what each means.")
