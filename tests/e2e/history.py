"""The clients' answers, and a check whether one history of each stream explains all of them.

A timeout is `info`: the command may have happened or not.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Op:
    """One command of one client, from its first invocation to its last answer."""

    client: int
    key: str
    body: str
    stream: str
    expected: int | None
    invoked: float
    completed: float
    type: str
    status: int = 0
    version: int = 0
    base: int = 0
    code: str = ""


@dataclass(frozen=True)
class Outcome:
    """What the tables say of a command at the end."""

    code: str | None
    base: int
    events: int


def write(history: Iterable[Op], path: Path) -> None:
    """As JSON lines in order of time: each call's `invoke`, and its `ok`, `fail` or `info`, which has no time of its own."""
    lines = sorted((line for op in history for line in _lines(op)), key=lambda line: line[0])
    path.write_text("\n".join(json.dumps(about) for _, about in lines), encoding="utf-8")


def _lines(op: Op) -> list[tuple[float, dict[str, object]]]:
    call = {"client": op.client, "key": op.key, "stream": op.stream}
    asked = {"type": "invoke", "time": op.invoked, **call, "body": op.body, "expected": op.expected}
    told: dict[str, object] = {"type": op.type, "time": None if op.type == "info" else op.completed, **call}
    if op.type != "info":
        told |= {"status": op.status, "version": op.version, "base": op.base, "code": op.code}
    return [(op.invoked, asked), (op.completed, told)]


def anomalies(
    history: Sequence[Op], outcomes: Mapping[tuple[str, str], Outcome], versions: Mapping[str, int]
) -> list[str]:
    """Every contradiction; an empty list is the proof. `outcomes` by (stream, key)."""
    found = [text for op in history for text in _one(op, outcomes.get((op.stream, op.key)))]
    found += _changed_answers(history)
    found += _two_bodies(history)
    for stream, ops in _by_stream(history).items():
        effects = sorted((o.base, o.events, key) for (s, key), o in outcomes.items() if s == stream and o.code is None)
        found += _dense(stream, effects, versions.get(stream, 0))
        found += _order(stream, ops)
        found += _conflicts(stream, ops, effects)
    return found


def _one(op: Op, outcome: Outcome | None) -> list[str]:
    """What a client was told must be what the tables say."""
    if op.type == "ok" and (outcome is None or outcome.code is not None):
        return [f"{op.key}: acknowledged, then lost or refused: {outcome}"]
    if op.type == "ok" and outcome and (outcome.base, outcome.base + outcome.events) != (op.base, op.version):
        return [f"{op.key}: told version {op.version}, the tables say {outcome}"]
    if op.type == "ok" and op.expected is not None and op.base != op.expected:
        return [f"{op.key}: expected version {op.expected}, applied at {op.base}"]
    if op.type == "fail" and op.status in {409, 412} and (outcome is None or outcome.code != op.code):
        return [f"{op.key}: told {op.code}, the tables say {outcome}"]
    return []


def _changed_answers(history: Sequence[Op]) -> list[str]:
    """The same command asked again has the same answer, for ever."""
    told: dict[tuple[str, str, str], tuple[object, ...]] = {}
    found = []
    for op in history:
        answer = (op.type, op.status, op.version, op.base, op.code)
        if op.type in {"ok", "fail"} and told.setdefault((op.stream, op.key, op.body), answer) != answer:
            found.append(f"{op.key}: answered {answer}, before {told[op.stream, op.key, op.body]}")
    return found


def _two_bodies(history: Sequence[Op]) -> list[str]:
    """Under one id one body was decided; whoever sent another was told so (422), and never an outcome."""
    bodies: dict[tuple[str, str], str] = {}
    decided = (op for op in history if op.type == "ok" or op.status in {409, 412})
    return [
        f"{op.stream}: {op.key} has outcomes for two bodies"
        for op in decided
        if bodies.setdefault((op.stream, op.key), op.body) != op.body
    ]


def _dense(stream: str, effects: Sequence[tuple[int, int, str]], version: int) -> list[str]:
    """Accepted commands tile the versions 1 … n without hole or overlap."""
    at, found = 0, []
    for base, events, key in effects:
        if base != at:
            found.append(f"{stream}: {key} applied at {base}, the commands before it end at {at}")
        at = base + events
    return found + ([f"{stream}: {at} events by outcomes, version {version}"] if at != version else [])


def _order(stream: str, ops: Sequence[Op]) -> list[str]:
    """Real time: what was acknowledged before another was sent has the lower version (each version has one command)."""
    accepted = sorted(_calls(ops).values(), key=lambda op: op.version)
    found, latest = [], 0.0
    for op in accepted:
        if op.completed < latest:
            found.append(f"{stream}: {op.key} (version {op.version}) was over before an earlier version was sent")
        latest = max(latest, op.invoked)
    return found


def _conflicts(stream: str, ops: Sequence[Op], effects: Sequence[tuple[int, int, str]]) -> list[str]:
    """A version conflict is right iff at some moment of the call the stream was not at the expected version."""
    by_key = _calls(ops)
    found = []
    for op in ops:
        if op.code != "version-conflict" or op.expected is None:
            continue
        made = next((by_key.get(key) for base, events, key in effects if base + events == op.expected), None)
        ended = next((key for base, _, key in effects if base == op.expected), None)
        reached = op.expected == 0 or (made is not None and made.completed < op.invoked)
        left = ended is not None and (ended not in by_key or by_key[ended].invoked < op.completed)
        if reached and not left:
            found.append(f"{stream}: {op.key} told of a conflict while the stream stood at {op.expected}")
    return found


def _calls(ops: Sequence[Op]) -> dict[str, Op]:
    """Accepted commands as one call each: from the first time it was sent to the first time it was acknowledged."""
    found: dict[str, Op] = {}
    for op in ops:
        if op.type == "ok":
            sent = min(other.invoked for other in ops if (other.key, other.body) == (op.key, op.body))
            ended = min(other.completed for other in ops if other.key == op.key and other.type == "ok")
            found[op.key] = replace(op, invoked=sent, completed=ended)
    return found


def _by_stream(history: Sequence[Op]) -> dict[str, list[Op]]:
    found: dict[str, list[Op]] = defaultdict(list)
    for op in history:
        found[op.stream].append(op)
    return found
