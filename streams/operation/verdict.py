"""Judges from facts what stands still, and says what to do about it. Pure; `docs/operations.md` has it as a table.

Slow is not still: a group stands still if it lags, applied nothing for STILL_S seconds, and did not move between two
looks.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from refold.schemas.plurals import counted
from refold.streams.chunk import Place
from refold.streams.operation.lag import Lag, LagKey
from refold.streams.operation.last_seen import LastSeen
from refold.streams.operation.members import Member
from refold.streams.operation.presence import Trouble, stand_still
from refold.streams.postgres.restoring import AFTER_RESTORE, RESTORE
from refold.streams.standing import STILL_S

_CODE = re.compile(r"([a-z]+(?:-[a-z]+)+): ")
_OF_A_DEPLOY = {
    "fingerprint": "a models worker of the code that declares it (docs/deploys.md)",
    "prepared": "a models worker of the code that was deployed",
}
"""What to start, by codes of tables that stand by themselves while old and new code run side by side."""
_MISSING = {
    "handler": "commands are acknowledged and not decided",
    "core": "appended events are not counted, so no command gets its outcome",
    "models": "read models do not get newer",
    "reactors": "no event is answered with commands",
    "api": "no command is taken and no read model is served over HTTP",
}


@dataclass(frozen=True)
class Finding:
    """One thing that stands still. `code`: its name in the table of docs/operations.md."""

    code: str
    says: str
    do: str
    role: str = ""
    """The role that stands still; kafka, postgres or log if it is not a role."""


@dataclass(frozen=True)
class Facts:
    """The facts that a verdict rests on. A fact that could not be learned is empty, and `unasked` says why."""

    roles: Sequence[str]
    running: Mapping[str, int]
    last_seen: Mapping[str, LastSeen] = field(default_factory=dict)
    """The process that was heard of last, by role."""
    lags: Sequence[Lag] = ()
    still: frozenset[LagKey] = frozenset()
    members: Sequence[Member] = ()
    copies: Sequence[Member] = ()
    """Members that call themselves processes of ours, and are not."""
    troubles: Sequence[Trouble] = ()
    detached: Mapping[str, str] = field(default_factory=dict)
    """Codes of the reasons, by the model's name with its domain."""
    parked: int = 0
    unasked: Sequence[Finding] = field(default_factory=tuple)


def findings(facts: Facts) -> list[Finding]:
    """Everything that stands still, causes before their consequences."""
    return [
        *facts.unasked,
        *_missing(facts),
        *_waiting(facts.troubles),
        *_foreign(facts),
        *_still(facts),
        *_models(facts),
    ]


def _missing(facts: Facts) -> Iterator[Finding]:
    ended_apis = ["api"] if "api" in facts.last_seen else []  # one that never ran, or was stopped, is not missed
    for role in [*facts.roles, *ended_apis]:
        if not facts.running.get(role):
            last = facts.last_seen.get(role)
            yield Finding(
                f"no-{role}",
                f"no {role} runs: {_MISSING[role]}{f'; {last}' if last else ''}",
                f"start it (`refold {'api' if role == 'api' else f'worker {role}'}`), or find out why it ended: in its log, or with `docker compose logs {'api' if role == 'api' else 'worker'}`"
                + (f". If process {last.pid} is still there, it is paused, or cut off from Postgres" if last else ""),
                role,
            )


def _waiting(troubles: Sequence[Trouble]) -> Iterator[Finding]:
    for each in stand_still(troubles):
        code = "ends-again-and-again" if each.has_ended else "waits"
        yield Finding(
            code,
            f"{each.role} {each.pid}@{each.host} {'' if each.has_ended else 'waits: '}{each.says}",
            _remedy(each),
            each.role,
        )


def _remedy(trouble: Trouble) -> str:
    if RESTORE in trouble.says:
        do = AFTER_RESTORE
    elif code := _CODE.match(trouble.says.removeprefix("ended: ")):
        do = f"docs/errors.md has the remedy of {code[1]}"
    else:
        do = "the log of that process has more"
    after = "it is started again" if trouble.has_ended else "the process tries again"
    return f"{do}; {after} by itself ({trouble.seconds:.0f} s now)"


def _foreign(facts: Facts) -> Iterator[Finding]:
    for each in facts.members:
        if each.is_foreign:
            yield _member(each, f"a client that is not Refold's ({each.client_id}, {each.address})")
    for each in facts.copies:
        who = f"{each.client_id}, {each.address}"
        yield _member(each, f"a client with the name of a Refold process ({who}) that does not run")


def _member(each: Member, who: str) -> Finding:
    held = ", ".join(f"{topic}/{part}" for topic, part in each.places) or "no partition yet"
    return Finding(
        "foreign-member",
        f"{who} is in the group of the {each.group} and holds {held}",
        "stop that client, or give it another consumer group: no process of Refold reads its partitions",
        each.group,
    )


def _still(facts: Facts) -> Iterator[Finding]:
    """One finding for each group whose role runs; a role that does not run has its finding already."""
    by_group: dict[str, list[Lag]] = {}
    for lag in facts.lags:
        if (lag.group, lag.topic, lag.part) in facts.still and facts.running.get(lag.group):
            by_group.setdefault(lag.group, []).append(lag)
    for group, behind in by_group.items():
        where = ", ".join(f"{lag.topic}/{lag.part}" for lag in behind)
        records = sum(lag.records for lag in behind)
        yield Finding(
            "does-not-move",
            f"the {group} does not move on {where}: {counted(records, 'records')} {'waits' if records == 1 else 'wait'}",
            f"look at the log of the {group}; after a SIGKILL it starts again from its positions and loses nothing",
            group,
        )


def _models(facts: Facts) -> Iterator[Finding]:
    for name, code in facts.detached.items():
        of_deploy = code in _OF_A_DEPLOY
        yield Finding(
            "detached",
            f"the read model {name} is detached ({code}): "
            + ("only processes of its code keep its rows up to date" if of_deploy else "its rows are frozen"),
            f"run the command that `refold status` shows as due, or start {_OF_A_DEPLOY[code]}"
            if of_deploy
            else f"remove the cause, then run `refold replay rebuild {name} --execute`",
            "models",
        )
    if facts.parked:
        yield Finding(
            "parked",
            f"{counted(facts.parked, 'streams')} {'waits' if facts.parked == 1 else 'wait'} at an event that cannot be applied",
            "correct the code that reads it, then run `refold replay release --all`",
            "models",
        )


def suspects(lags: Sequence[Lag]) -> set[LagKey]:
    """Places where something waits and nothing was applied for STILL_S seconds. Look again: slow is not still."""
    return {
        (lag.group, lag.topic, lag.part)
        for lag in lags
        if lag.records and (lag.seconds is None or lag.seconds > STILL_S)
    }


def unmoved(suspected: set[LagKey], before: Sequence[Lag], after: Sequence[Lag]) -> frozenset[LagKey]:
    """Suspected places that have not moved between two looks, and still have something to do."""
    now = {(lag.group, lag.topic, lag.part): lag for lag in after}
    then: dict[LagKey, Lag] = {(lag.group, lag.topic, lag.part): lag for lag in before}
    return frozenset(
        key for key in suspected if key in now and now[key].records and now[key].position == then[key].position
    )


def owners(members: Sequence[Member]) -> dict[tuple[str, Place], Member]:
    """The member to which Kafka assigned each partition, by group."""
    return {(member.group, place): member for member in members for place in member.places}
