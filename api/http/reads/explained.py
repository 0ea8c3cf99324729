"""An explanation as JSON: values as the row's own answer prints them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

import polars as pl

from refold.api.http.reads.positions import token
from refold.api.http.reads.row_keys import PARAMETERS
from refold.projections.explaining.explainer import Explanation
from refold.projections.explaining.kept import Total
from refold.projections.explaining.steps import Change, ColumnChange, RowRecord
from refold.projections.explaining.unfolded import WaitingEvents
from refold.projections.tables.layout import Layout, Merge, Shown, Stored
from refold.streams.chunk import Place

Json = dict[str, Any]


def explained(found: Explanation, prefix: str, following: str | None, *, adds_up: bool | None) -> Json:
    """The whole answer. `following`: the path of the next page, or of the same question, whose search then goes on."""
    layout = found.layout
    return {
        "domain": layout.model.domain,
        "model": layout.name,
        "key": key_json(layout, found.key),
        "row": row_json(found.layout, found.row if found.is_first_page else found.folded),
        "position": position(found.positions, prefix),
        "complete": found.complete,
        "adds_up": adds_up,
        "found_by": "stream" if found.by_stream else "scan",
        "records_read": found.read,
        "records": found.of,
        "events": found.events,
        "summed": found.summed,
        "totals": {part.name: _total(part, found.totals.get(part.name, Total()), found) for part in _told(layout)},
        "changes": [change_json(layout, *one) for one in found.changes],
        "waiting": [_waiting(one) for one in found.unfolded.waiting],
        "void": [{**record_json(one.record), "reason": one.reason} for one in found.unfolded.voids],
        "not_looked_at": found.unfolded.unseen,
        "next": following,
    }


def key_json(layout: Layout, key: Sequence[Any]) -> Json:
    """The key's columns."""
    return {part.name: value_json(part, value) for part, value in zip(layout.keys, key, strict=True)}


def row_json(layout: Layout, row: Mapping[str, Any] | None) -> Json | None:
    """The columns besides the key."""
    return None if row is None else {part.name: value_json(part, row[part.name]) for part in layout.shown_columns}


def change_json(layout: Layout, record: RowRecord, change: Change) -> Json:
    """An event, and what it changed in which column."""
    parts = {part.name: part for part in _told(layout)}
    columns = {name: _column(parts[name], one) for name, one in change.columns.items()}
    return {**record_json(record), "effect": change.effect, "changes": columns}


def record_json(record: RowRecord) -> Json:
    """A stored event without its fields. `types`: today's events that it is read as."""
    meta = record.meta
    return {
        "category": meta.category,
        "stream": meta.stream,
        "version": meta.version,
        "types": [type(event).__name__ for event in record.events],
        "stored_type": record.stored_type,
        "id": meta.event_id,
        "occurred_at": meta.occurred_at,
        "recorded_at": meta.recorded_at,
        "command_id": meta.command_id,
        "actor": meta.actor,
        "correlation_id": meta.correlation_id,
        "position": f"{meta.category}.events/{record.part}:{record.offset}",
    }


def value_json(part: Shown, value: Any) -> Any:
    """A value as Postgres prints it: decimals, days and times are texts."""
    if value is None:
        return None
    if isinstance(part.type.dtype, pl.Decimal):
        return format(Decimal(value), "f")
    if isinstance(value, datetime):
        text = value.astimezone(UTC).isoformat()
        return text.replace("+00:00", "").rstrip("0").rstrip(".") + "+00:00" if value.microsecond else text
    return value


def position(positions: Mapping[Place, int], prefix: str) -> str:
    """The position as a token."""
    return token({(topic.removeprefix(prefix), part): at for (topic, part), at in positions.items()})


def _told(layout: Layout) -> list[Shown]:
    """The columns besides the key, and the hidden sums and counts from which some are computed."""
    return [*layout.shown_columns, *(layout.part(name) for one in layout.derived for name in one.parts)]


def _total(part: Shown, total: Total, found: Explanation) -> Json:
    is_added = isinstance(part, Stored) and part.merge in (Merge.ADD, Merge.UNION)
    adds = value_json(part, total.adds or 0) if is_added else None
    if found.folded is None:
        value = None
    else:  # a hidden part is what its events added
        value = value_json(part, found.folded[part.name]) if part.name in found.folded else adds
    return {"events": total.events, "value": value} | ({"adds": adds} if is_added else {})


def _column(part: Shown, change: ColumnChange) -> Json:
    found = {"before": value_json(part, change.before), "after": value_json(part, change.after)}
    if change.adds is not None:
        found["adds"] = value_json(part, change.adds)
    return found


def _waiting(one: WaitingEvents) -> Json:
    park = one.park
    return {
        "category": park.category,
        "stream": park.stream,
        "code": park.code,
        "reason": park.reason,
        "from": f"{park.category}.events/{park.part}:{park.first_offset}",
        "events": [record_json(record) for record in one.events],
        "unreadable": one.unreadable,
    }


def explain_path(layout: Layout, key: Sequence[Any]) -> str:
    """The path of a row's explanation: the key in the path, or as parameters where no path can say it."""
    base, name = layout.model.domain, layout.name
    parts = [(part.name, value_json(part, value)) for part, value in zip(layout.keys, key, strict=True)]
    texts = [str(value).lower() if isinstance(value, bool) else str(value) for _, value in parts]
    if any(value is None for _, value in parts) or (len(parts) == 1 and texts[0] in {".", ".."}):
        said = [
            (f'"{column}"' if column in PARAMETERS else column, "is.null" if value is None else f"eq.{text}")
            for (column, value), text in zip(parts, texts, strict=True)
        ]
        return f"/v1/explain/{base}/{name}?{urlencode(said)}"
    return f"/v1/{base}/{name}/{key_in_path(texts)}/explain"


def key_in_path(texts: Sequence[str]) -> str:
    """The values of a key as a path has them."""
    quoted = texts if len(texts) == 1 else [_quoted(text) for text in texts]
    return ",".join(quote(text, safe="") for text in quoted)


def _quoted(text: str) -> str:
    """A value of several, in double quotes if it needs them."""
    if "," not in text and not text.startswith('"'):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
