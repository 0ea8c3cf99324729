"""Position tokens: `retail.basket.events/2:1234` means that partition 2 of that topic was folded up to offset 1234.

Several are joined by commas. Topics lack their prefix, so that a token does not reveal the setup of a cluster.
"""

import re
from collections.abc import Iterable, Mapping

from refold.api.errors import Fault, TokenMalformed

TopicPart = tuple[str, int]
"""A topic's name without prefix, and a partition of it."""
Positions = Mapping[TopicPart, int]

PARTITION, OFFSET = "[0-9]{1,4}", "[0-9]{1,18}"
_PART = re.compile(rf"([a-z0-9_.]{{3,130}})/({PARTITION}):({OFFSET})")
_MOST = 4096


def read_token(text: str, topics: Iterable[str], of: str = "Refold-Min-Position") -> dict[TopicPart, int]:
    """The positions of a token; for a place named twice the later one. `of`: the header or parameter that has it. Raises TokenMalformed."""
    found: dict[TopicPart, int] = {}
    known = frozenset(topics)
    for part in text.split(",", _MOST):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise _malformed(of, "the form is topic/partition:offset, joined by commas")
        place = match.group(1), int(match.group(2))
        if place[0] not in known:
            raise _malformed(of, "it names a topic that is none of this platform's events")
        found[place] = max(int(match.group(3)), found.get(place, 0))
    return found


def read_wanted(text: str | None, categories: Iterable[str], of_model: Iterable[str]) -> dict[TopicPart, int]:
    """The positions of a token that concern a model: events of other categories never reach it. Raises TokenMalformed."""
    if text is None:
        return {}
    ours = {f"{name}.events" for name in of_model}
    asked = read_token(text, (f"{name}.events" for name in categories))
    return {place: offset for place, offset in asked.items() if place[0] in ours}


def token(positions: Positions) -> str:
    """The positions as a token, in a stable order."""
    return ",".join(f"{topic}/{part}:{offset}" for (topic, part), offset in sorted(positions.items()))


def missing(wanted: Positions, reached: Positions) -> dict[TopicPart, int]:
    """The wanted positions that are not reached yet."""
    return {place: offset for place, offset in wanted.items() if reached.get(place, 0) < offset}


def _malformed(of: str, message: str) -> TokenMalformed:
    return TokenMalformed(f"{of}: {message}", Fault(of, "position-malformed", message))
