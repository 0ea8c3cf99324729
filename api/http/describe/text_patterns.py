"""Patterns of the texts that a request has: ids, keys, versions, positions and times. Pure.

Each is made of the check that reads the text, so that the two cannot drift. They are regular expressions that ECMAScript, Python and Rust
read alike: JSON Schema wants the first, and judges are written in all of them.
"""

from collections.abc import Iterable

from refold.api.http.commands.request import MAX_KEY_BYTES, VERSION_TAG
from refold.api.http.describe.openapi_parts import TEXT, Json
from refold.api.http.reads.freshness import SECONDS
from refold.api.http.reads.positions import OFFSET, PARTITION
from refold.schemas.contracts import STREAM_ID, Category

DAY = (
    r"(?:[1-9][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"|(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|2000)-02-29)"
)
"""A day that the calendar has, in four digits of a year."""
CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
OFFSET_OF_TIME = r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
"""Every offset that a place on earth has; Postgres takes few more."""
ANY_TEXT = r"[^\u0000]*"
"""What Postgres can hold."""
INSTANT = f"{DAY}T{CLOCK}{OFFSET_OF_TIME}"


def whole(pattern: str) -> str:
    """The pattern of a text as a whole: JSON Schema's alone would match a part of it."""
    return f"^(?:{pattern})$"


def text_of(pattern: str, **more: object) -> Json:
    """A text of this pattern."""
    return {**TEXT, "pattern": whole(pattern), **more}


STREAM: Json = text_of(STREAM_ID.pattern.decode(), minLength=1, maxLength=200)
KEY: Json = text_of(r"[!-~](?:[ -~]*[!-~])?", minLength=1, maxLength=MAX_KEY_BYTES)
"""An Idempotency-Key: a header's value has no blanks at its ends."""
NOTE = KEY
"""An actor, or a correlation id."""
VERSION: Json = text_of(VERSION_TAG.pattern)
AGE: Json = text_of(SECONDS.pattern)
TIME: Json = text_of(INSTANT)
TIME_OR_DAY: Json = text_of(f"{INSTANT}|{DAY}")
CURSOR: Json = text_of("[A-Za-z0-9_-]*", maxLength=4096)


def position_pattern(topics: Iterable[str]) -> str:
    """Positions in these topics, joined by commas."""
    names = "|".join(topic.replace(".", r"\.") for topic in topics)
    one = f"(?:{names})/{PARTITION}:{OFFSET}"
    return f"{one}(?:,{one})*"


def position(categories: Iterable[Category]) -> Json:
    """`Refold-Min-Position`."""
    return text_of(position_pattern(f"{category.name}.events" for category in categories))
