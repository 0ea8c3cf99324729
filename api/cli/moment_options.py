"""The options that name a snapshot's moment: a place in the log, a time of occurrence, or both."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from cyclopts import Parameter

from refold.api.errors import TokenMalformed
from refold.api.http.reads.positions import read_token
from refold.projections.errors import SnapshotInvalid
from refold.projections.replay.moments import Moment
from refold.schemas.exact_text import instant_of
from refold.streams.domain import load_domains
from refold.streams.settings import Settings

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@Parameter(name="*")
@dataclass(frozen=True)
class MomentOptions:
    """A moment as the command line names it.

    Args:
        at: all records appended before this time, as `2026-01-31T12:00:00Z`; a day begins at midnight UTC.
        position: all records before this position, as an answer's Refold-Position says it.
        occurred_before: only events that occurred before this time, as their senders said, whenever they were appended.
    """

    at: str | None = None
    position: str | None = None
    occurred_before: str | None = None

    @property
    def is_named(self) -> bool:
        """Whether a moment is named, and only one place in the log."""
        return (self.at, self.position, self.occurred_before) != (None, None, None) and None in (self.at, self.position)

    def read(self, settings: Settings) -> Moment:
        """The moment. Raises SnapshotInvalid."""
        occurred = None if self.occurred_before is None else _time("--occurred-before", self.occurred_before)
        if self.position is None:
            return Moment(None if self.at is None else _time("--at", self.at), None, occurred)
        topics = [f"{name}.events" for name in load_domains(settings.domains).categories]
        try:
            return Moment(None, read_token(self.position, topics), occurred)
        except TokenMalformed as problem:
            raise SnapshotInvalid(problem.message.replace("Refold-Min-Position", "--position")) from problem


NO_MOMENT = MomentOptions()


def _time(option: str, text: str) -> datetime:
    try:
        if _DAY.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        return instant_of(text)
    except ValueError as problem:
        raise SnapshotInvalid(
            f"{option} {text}: write 2026-01-31T12:00:00Z or 2026-01-31: {str(problem).removeprefix('Expected ')}"
        ) from problem
