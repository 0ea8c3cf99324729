"""The flow of the data as boxes: producers, topics, handler, core, models, API, each with where it stands. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from refold.api.http.describe.seen import Seen
from refold.api.http.describe.services import Check
from refold.schemas.plurals import counted
from refold.streams.operation.lag import Lag

Json = dict[str, Any]
_ROLES = {
    "handler": "decides each command",
    "core": "finds which records count",
    "models": "folds events into rows",
}


@dataclass(frozen=True)
class Box:
    """A step of the flow. `state`: ok, behind, or still where something stands still; `facts`: lines to show."""

    name: str
    does: str
    link: str
    state: str
    facts: tuple[str, ...]


@dataclass(frozen=True)
class Behind:
    """A group on a topic: records that it has before it, and of how many. `seconds`: None before it has applied anything."""

    group: str
    topic: str
    records: int
    of: int
    seconds: float | None


def boxes(seen: Seen | None, checks: Sequence[Check], dictionaries: Sequence[Json]) -> list[Box]:
    """The boxes in the order of the flow. `seen`: None for who may not watch the processes; then lags are left out."""
    categories = [category for one in dictionaries for category in one["categories"]]
    models = [model for one in dictionaries for model in one["read_models"]]
    commands = sum(len(category["commands"]) for category in categories)
    failed = [check.name for check in checks if not check.ok]
    return [
        Box("Producers", "send commands and facts", "/docs", "ok", (counted(commands, "commands"),)),
        Box("Topics", "keep the log", "/asyncapi.json", _state_of("kafka", failed), _log_facts(seen, len(categories))),
        *(_role(role, does, seen, models) for role, does in _ROLES.items()),
        Box("API", "answers", "/readyz", "still" if failed else "ok", _answers(failed)),
    ]


def behind(lags: Iterable[Lag]) -> list[Behind]:
    """A line for each group and topic, over all partitions."""
    found: dict[tuple[str, str], list[Lag]] = {}
    for lag in lags:
        found.setdefault((lag.group, lag.topic), []).append(lag)
    return [
        Behind(group, topic, sum(one.records for one in parts), sum(one.end for one in parts), _oldest(parts))
        for (group, topic), parts in sorted(found.items())
    ]


def _role(role: str, does: str, seen: Seen | None, models: Sequence[Json]) -> Box:
    facts = [counted(len(models), "models")] if role == "models" else []
    link = "/console/data" if role == "models" else "#lag"
    if seen is None:
        lag = max((model["freshness"]["lag"] for model in models if model["freshness"]), default=0)
        known = role == "models"
        return Box(
            role.title(), does, link, "behind" if known and lag else "ok", (*facts, *_lag(lag if known else None))
        )
    lags = [lag for lag in seen.lags if lag.group == role]
    records = sum(lag.records for lag in lags) if lags else None
    running = sum(process.role == role for process in seen.live)
    still = any(finding.role == role for finding in seen.findings)
    state = "still" if still else "behind" if records else "ok"
    return Box(role.title(), does, link, state, (*facts, f"{running} running", *_lag(records)))


def _lag(records: int | None) -> tuple[str, ...]:
    return () if records is None else (f"{counted(records, 'records')} behind" if records else "up to date",)


def _log_facts(seen: Seen | None, categories: int) -> tuple[str, ...]:
    named = counted(categories, "categories")
    ends = {(lag.topic, lag.part): lag.end for lag in seen.lags} if seen is not None else {}
    return (named, counted(sum(ends.values()), "records")) if ends else (named,)


def _answers(failed: Sequence[str]) -> tuple[str, ...]:
    return (f"not ready: {', '.join(failed)}",) if failed else ("ready",)


def _state_of(name: str, failed: Sequence[str]) -> str:
    return "still" if name in failed else "ok"


def _oldest(parts: Sequence[Lag]) -> float | None:
    return max((lag.seconds for lag in parts if lag.seconds is not None), default=None)
