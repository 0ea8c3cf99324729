"""Compares the clients' answers with the tables, once the folds have caught up."""

from collections.abc import Sequence

from refold.schemas.identity import command_uuid
from refold.streams.settings import Settings
from tests.e2e.history import Op, Outcome, anomalies
from tests.e2e.tables import number, query, streams_with_gaps, until


def assert_agreement(settings: Settings, seen: Sequence[Op]) -> None:
    """Once the folds have caught up, nothing that was seen contradicts the tables."""
    keys = {str(command_uuid(op.key)): op.key for op in seen}
    answered = {(op.stream, op.key) for op in seen if op.type in {"ok", "fail"} and op.status in {201, 409, 412}}
    until(lambda: answered <= outcomes(settings, keys).keys(), 60, "an answered command has no outcome")
    until(lambda: caught_up(settings), 60, "the read models did not catch up")
    versions = {
        str(stream): int(str(version))
        for stream, version in query(settings, "SELECT stream, version FROM refold.streams")
    }
    assert anomalies(seen, outcomes(settings, keys), versions) == []
    assert not streams_with_gaps(settings)
    scanned = number(
        settings,
        "SELECT coalesce(sum((convert_from(state, 'UTF8')::json ->> 'lines')::int), 0)::int FROM refold.streams",
    )
    assert number(settings, "SELECT coalesce(sum(lines), 0)::int FROM retail.store_daily") == scanned > 0
    assert number(settings, "SELECT coalesce(sum(lines), 0)::int FROM retail.baskets") == scanned


def outcomes(settings: Settings, keys: dict[str, str]) -> dict[tuple[str, str], Outcome]:
    rows = query(settings, "SELECT stream, command_id, code, base_version, events FROM refold.outcomes")
    return {
        (str(stream), keys[str(command)]): Outcome(
            None if code is None else str(code), int(str(base)), int(str(events))
        )
        for stream, command, code, base, events in rows
    }


def caught_up(settings: Settings) -> bool:
    behind = "SELECT count(*)::int FROM refold.positions c JOIN refold.positions m USING (topic, part)"
    return (
        number(settings, f"{behind} WHERE c.grp = 'core' AND m.grp = 'models' AND m.next_offset < c.next_offset") == 0
    )
