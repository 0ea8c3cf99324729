"""Reads numbers on the command line strictly: cyclopts takes 2.6 for 3, 0x10 for 16, 1_000 for 1000, nan for a time."""

import math
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

_PERIOD = re.compile(r"(\d{1,5})([dhm])", re.ASCII)
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_WHOLE = re.compile(r"[0-9]{1,18}")


def whole(_kind: Any, tokens: Sequence[Any]) -> int:
    """A whole number of at most 18 digits. Raises ValueError, which cyclopts reports."""
    text = tokens[0].value
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number of at most 18 digits")
    return int(text)


def seconds(_kind: Any, tokens: Sequence[Any]) -> float:
    """A finite number of seconds from now. Raises ValueError, which cyclopts reports."""
    text = tokens[0].value
    found = float(text)
    if not math.isfinite(found) or found < 0:
        raise ValueError(f"{text!r} is not a number of seconds of 0 or more")
    return found


def period(_kind: Any, tokens: Sequence[Any]) -> timedelta:
    """A length of time in days, hours or minutes. Raises ValueError, which cyclopts reports."""
    found = period_of(tokens[0].value)
    if found is None:
        raise ValueError(f"{tokens[0].value!r} is no length of time: write 30d, 12h or 5m")
    return found


def period_of(text: str) -> timedelta | None:
    """`30d`, `12h` or `5m`; None for another text."""
    found = _PERIOD.fullmatch(text)
    return None if found is None else timedelta(**{_UNITS[found[2]]: int(found[1])})
