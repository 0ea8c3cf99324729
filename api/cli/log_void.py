"""The commands `refold log void` and `refold log voids`, which void forged claims; the log is their audit trail."""

import getpass
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from refold.api.cli import exits
from refold.api.cli.numbers import whole
from refold.api.cli.output import print_json, print_table, say
from refold.api.embedded.servers import connected
from refold.schemas.meta import RULES, Claim
from refold.streams.domain import load_domains
from refold.streams.log.topics import category_of, commands_topic
from refold.streams.operation.members import MemberReader
from refold.streams.operation.voiding import Signed, Voidings, epochs_left, voidings_of
from refold.streams.postgres.connection import answering, connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.rules.claims_past import Counted, Way
from refold.streams.settings import Settings

Whole = Annotated[int, Parameter(converter=whole)]
_LISTED = 1000


def void(  # noqa: PLR0913 - a command's arguments and flags
    topic: str,
    partition: Whole,
    offset: Whole | None = None,
    *,
    reason: str = "",
    operator: str | None = None,
    execute: bool = False,
    json: bool = False,
) -> int:
    """Take a forged claim out of count.

    Args:
        topic: the full name of a topic of events.
        partition: its partition.
        offset: the claim's offset; if left out, list the claims that can be taken out.
        reason: the reason, for people who read the log later.
        operator: the person who does it; default: the name of this login.
        execute: do it, instead of only printing the plan.
        json: print one JSON document.
    """
    if execute and (offset is None or not reason.strip()):
        say("refold: name the offset and give a --reason: the log records both")
        return exits.USAGE
    settings = connected(Settings.load())
    domains = load_domains(settings.domains)
    with answering(), closing(connect(settings.dsn(), application_name="log-void")) as db:
        bootstrap(db)
        found = Voidings(settings, domains, db, (topic, partition))
        holder = _holder(settings, found)
        if offset is None:
            plans = [_Plan(found, way, holder) for way in found.past().ways()]
            _show([plan.document() for plan in plans], json=json)
            if not json:
                say("Name one of these offsets." if plans else "This partition has no claim to take out.")
            return exits.DONE
        return _one(
            found, offset, holder, Signed(operator or getpass.getuser(), reason) if execute else None, json=json
        )


def _one(found: Voidings, offset: int, holder: str, signed: Signed | None, *, json: bool) -> int:
    done = found.taken_out(offset)
    plan = None if done is not None else _Plan(found, found.way(offset), holder)
    if plan is not None and signed is not None:
        done = found.void(offset, signed)
    elif plan is not None:
        found.check_versions()
    told = plan.document() if plan else {"topic": found.place[0], "partition": found.place[1], "offset": offset}
    document = {**told, "voided": done is not None, "voiding": done, "already": plan is None}
    if json:
        print_json(document)
        return exits.DONE
    print_table([document])
    if done is None:
        say("Would take it out of count. Add --execute to do it.")
    else:
        say(f"{'It is out' if plan is None else 'Taken out'} of count: the voiding is at offset {done}.")
    return exits.DONE


@dataclass(frozen=True)
class _Plan:
    """The plan for one claim, and its consequences."""

    found: Voidings
    way: Way
    holder: str

    def document(self) -> dict[str, Any]:
        counted, past = self.way.counted, self.found.past()
        return {
            "topic": self.found.place[0],
            "partition": self.found.place[1],
            "offset": counted.offset,
            "claim": _named(counted),
            "stops": self._stops(past.state.epoch),
            "comes": self._comes(past.in_force),
            "core": self.found.position(),
            "held by": self.holder,
        }

    def _stops(self, epoch: int) -> str:
        if self.way.epoch is None:
            return f"readers that know rules {RULES} stop at it"
        return f"the epoch is {epoch}: {epochs_left(epoch):,} claims are left"

    def _comes(self, in_force: Counted | None) -> str:
        if self.way.epoch is None:
            return "readers pass it within 10 s; neither the claim nor a record of its writer counts"
        writer = f"; {_named(in_force)} ends" if in_force else ""
        return f"from there on the epoch is {self.way.epoch}{writer}; records that have counted stay in force; handlers claim again"


def _named(counted: Counted) -> str:
    claim: Claim = counted.claim
    return f"epoch {claim.epoch} (before it {counted.epoch_before}), rules {claim.rules}, of {claim.host}, {claim.claimed_at:%Y-%m-%d %H:%M:%S} UTC"


def _holder(settings: Settings, found: Voidings) -> str:
    """The clients to which Kafka has assigned the partition's commands."""
    topic, part = found.place
    commands = commands_topic(settings.topic_prefix, category_of(settings.topic_prefix, topic))
    holding = [each for each in MemberReader(settings).read(["handler"]) if (commands, part) in each.places]
    return ", ".join(f"{each.client_id} ({each.address})" for each in holding) or "nobody"


def voids(*, json: bool = False) -> int:
    """List the claims that operators have taken out of count.

    Args:
        json: print one JSON document.
    """
    settings = connected(Settings.load())
    with answering(), closing(connect(settings.dsn(), application_name="log-voids")) as db:
        bootstrap(db)
        rows = [
            {
                "topic": topic,
                "partition": part,
                "offset": at,
                "claim at": voiding.offset,
                "epoch": voiding.epoch,
                "operator": voiding.operator,
                "host": voiding.host,
                "at": voiding.voided_at,
                "reason": voiding.reason,
            }
            for (topic, part), at, voiding in voidings_of(settings, db, _LISTED)
        ]
    _show(rows, json=json)
    if not json:
        say(f"{len(rows)} voidings." if rows else "Nothing was taken out of count.")
    return exits.DONE


def _show(rows: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        print_json(rows)
        return
    print_table(rows)
