"""The history of a category as a read model: every event has a row, with all its fields."""

from collections.abc import Mapping
from dataclasses import dataclass

from refold.projections.declaring.event_table import EventTable, Named, cell
from refold.projections.declaring.expressions import ACTOR, EVENT_TYPE, OCCURRED_AT, RECORDED_AT
from refold.projections.declaring.gathering import events
from refold.projections.declaring.indexes import Indexes
from refold.projections.declaring.links import Link
from refold.projections.declaring.payload import PAYLOAD
from refold.projections.errors import BadDeclaration
from refold.schemas.contracts import Category


@dataclass(frozen=True, kw_only=True, init=False)
class History(EventTable):
    """A row for each event of a category: `stream`, `version`, `event_type`, `occurred_at`, `recorded_at`, `actor`, `payload`.

    `stream`, `version`, `part`: as in an `EventTable`. `payload` is jsonb: the event's fields, decimals and times as texts.
    """

    def __init__(  # noqa: PLR0913 - keywords of a declaration
        self,
        *,
        name: str,
        domain: str = "",
        description: str,
        of: Category,
        stream: Named = ("stream", "Stream of the event."),
        version: Named = ("version", "Version of the stream with this event."),
        part: Named | None = None,
        links: Mapping[str, Link] | None = None,
        indexes: Indexes = (),
    ) -> None:
        """Raises BadDeclaration."""
        if not isinstance(of, Category):
            raise BadDeclaration(f"{name}: a history is of a category, `of=CATEGORY`, not of {of!r:.100}")
        super().__init__(
            name=name, domain=domain, description=description, of=events(of, *of.events), stream=stream, version=version,
            part=part, links=links, indexes=indexes,
            columns={
                "event_type": cell(EVENT_TYPE),
                "occurred_at": cell(OCCURRED_AT),
                "recorded_at": cell(RECORDED_AT),
                "actor": cell(ACTOR),
                "payload": cell(PAYLOAD),
            },
        )  # fmt: skip
