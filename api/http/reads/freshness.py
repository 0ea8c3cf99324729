"""How fresh rows are, and whether a client has them already. Pure.

A client has an answer already if its model stands where it stood: rows are a function of the table that serves, the
streams that wait in it, and the position. So `ETag` is made of these and of the question, and none of them needs the table.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import cached_property, lru_cache
from typing import Any

from refold.api.errors import Fault, HeaderInvalid
from refold.api.http.reads.positions import Positions, token

MAX_AGE = "refold-max-age"
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
"""What `Refold-Max-Age` takes."""
STANDING_HEADERS = (
    "Refold-Position",
    "Refold-Lag",
    "Refold-Age",
    "Refold-As-Of",
    "Refold-Parked",
    "Refold-Detached",
)
"""Headers that `Standing.headers` gives."""
_TAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True)
class Standing:
    """Where the rows of a model stand.

    `behind`: records that the core has folded and the model has not. `as_of`: when the newest record that the rows show
    was appended. `age`: the rows show everything that was appended longer ago than so many seconds, 0 if nothing is missing.
    Of a snapshot nobody counts what came behind it (`behind` is None), and the age is known of a moment that is a time.
    `table`: which tables serve and which streams wait in them. `now` and `seen`: seconds since 1970 by Postgres's clock,
    before and after the moment at which the rows stood there.
    """

    positions: Positions
    behind: int | None
    parked: int
    detached: str | None
    as_of: str | None = None
    age: float | None = 0.0
    table: str = ""
    now: float = 0.0
    seen: float = 0.0

    @cached_property
    def position(self) -> str:
        return token(self.positions)

    @property
    def state(self) -> tuple[str, str, int, str | None]:
        """Equal exactly while the rows are: what serves, how far it is, and what is missing from it."""
        return self.table, self.position, self.parked, self.detached

    def is_older(self, seconds: float | None) -> bool:
        """Whether the rows may be older than a client takes them."""
        return seconds is not None and (self.age is None or self.age > seconds)

    def headers(self) -> dict[str, str]:
        """What an answer says of its rows besides the rows."""
        headers = {"Refold-Position": self.position}
        if self.behind is not None:
            headers["Refold-Lag"] = str(self.behind)
        if self.age is not None:
            headers["Refold-Age"] = str(math.ceil(self.age))
        if self.as_of is not None:
            headers["Refold-As-Of"] = self.as_of
        if self.parked:
            headers["Refold-Parked"] = str(self.parked)
        if self.detached:
            headers["Refold-Detached"] = self.detached
        return headers

    def etag(self, *question: Any) -> str:
        """The weak tag of the answer to a question about these rows."""
        said = json.dumps([*self.state, *question], default=str)
        return f'W/"{hashlib.sha256(said.encode()).hexdigest()[:24]}"'


@dataclass
class Seen:
    """When this process first saw how each model stands now: the only time that is sound as `Last-Modified`.

    No table keeps when a fold was committed, and the time of a record says nothing: a partition that catches up folds
    records that are older than those of the others. Invariant: a time is told only once it is over, by Postgres's
    clock, which all processes share. So a state that follows has a later time in every process.
    """

    _since: dict[tuple[str, str], tuple[object, float]] = field(default_factory=dict)

    def modified(self, model: tuple[str, str], standing: Standing) -> int | None:
        """Whole seconds since 1970; None while they are not over."""
        known, state = self._since.get(model), standing.state
        if known is None or known[0] != state:
            known = self._since[model] = state, standing.seen
        second = math.floor(known[1]) + 1
        return second if standing.now >= second else None


@lru_cache(maxsize=256)
def http_date(seconds: int) -> str:
    """A time as HTTP writes it."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def is_known(headers: Mapping[str, str], etag: str, modified: int | None) -> bool:
    """Whether the client has the answer already. `If-None-Match` goes before `If-Modified-Since`, as RFC 9110 says."""
    tags = headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or etag.removeprefix("W/") in _TAG.findall(tags)
    since = headers.get("if-modified-since")
    if since is None or modified is None:
        return False
    try:
        return parsedate_to_datetime(since).replace(tzinfo=UTC).timestamp() >= modified
    except (ValueError, TypeError, OverflowError):
        return False  # RFC 9110: what is no date is ignored


def read_max_age(headers: Mapping[str, str]) -> float | None:
    """The most seconds that rows may be old. Raises HeaderInvalid."""
    text = headers.get(MAX_AGE)
    if text is None:
        return None
    if not SECONDS.fullmatch(text.strip()):
        message = "Refold-Max-Age is a number of seconds, such as 5 or 0.5"
        raise HeaderInvalid(message, Fault("Refold-Max-Age", "header-invalid", message))
    return float(text)
