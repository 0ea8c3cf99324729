"""The `Accept` header (RFC 9110): which of the media types that a resource has a client wants most."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from refold.api.reading_errors import NotAcceptable

JSON, CSV = "application/json", "text/csv"
ARRAY, OBJECT = "application/vnd.pgrst.array+json", "application/vnd.pgrst.object+json"
_NAMES = {"application/vnd.pgrst.array": ARRAY, "application/vnd.pgrst.object": OBJECT}
_QUALITY = re.compile(r"q *= *([0-9.]{1,5})")
_MOST = 2000
_Wish = tuple[str, float, bool]
"""A media type or a range of them, its quality, and whether members that are null are to be left out."""


class Media(NamedTuple):
    """A media type; `stripped`: without the members that are null."""

    type: str
    stripped: bool = False

    @property
    def content_type(self) -> str:
        """As an answer names it: plain JSON has no charset of its own, and is UTF-8."""
        if self.type == ARRAY and not self.stripped:
            return JSON
        return f"{self.type}{';nulls=stripped' * self.stripped}; charset=utf-8" if self.type != JSON else JSON


@lru_cache(256)
def accepted(header: str | None, there: Sequence[str]) -> Media:
    """The first of the media types that are `there` by the client's wishes: by quality, then by their order. Raises NotAcceptable.

    Of a media type that several wishes meet the narrowest counts: `*/*, application/json;q=0` is anything but JSON.
    """
    if not header or header == "*/*":
        return Media(there[0])
    wishes = [_wish(part) for part in header[:_MOST].split(",")]
    narrowest = {one: _narrowest(wishes, one) for one in there}
    for wish in sorted((wish for wish in wishes if wish[1] > 0), key=lambda wish: -wish[1]):
        found = next((one for one in there if narrowest[one] == wish), None)
        if found is not None:
            return Media(found, stripped=wish[2] and found in {ARRAY, OBJECT})
    raise NotAcceptable(f"Accept: none of these is asked for: {', '.join(there)}")


def _narrowest(wishes: Sequence[_Wish], there: str) -> _Wish | None:
    """The wish that counts for a media type; of equal ones the first."""
    return max((wish for wish in wishes if _meets(wish[0], there)), key=lambda wish: -wish[0].count("*"), default=None)


def _wish(text: str) -> _Wish:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = next((found for part in parameters if (found := _QUALITY.fullmatch(part))), None)
    try:
        weight = 1.0 if quality is None else float(quality.group(1))
    except ValueError:
        weight = 0.0
    return _NAMES.get(name, name), weight, "nulls=stripped" in [part.replace(" ", "") for part in parameters]


def _meets(wished: str, there: str) -> bool:
    if wished in {there, "*/*"}:
        return True
    kind, _, rest = wished.partition("/")
    return rest == "*" and there.startswith(f"{kind}/")
