"""Reads numbers on the command line strictly: cyclopts takes 2.6 for 3, 0x10 for 16, 1_000 for 1000, nan for a time."""

import math
import re
from collections.abc import Sequence
from typing import Any

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
