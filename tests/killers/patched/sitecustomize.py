"""On PYTHONPATH every Python process has decoders that die of some texts, as a defect in a native library would have it.

And a domain whose `decide`, `evolve` (in the core alone) and `react` end the process on some.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import polars as pl

from refold.retail.reactors import REACTORS
from refold.retail.streams import DECIDERS
from refold.schemas import codec
from refold.schemas.envelope import COMMAND, EVENT

FOLD, HANDLER = b"kills-the-fold", b"kills-the-handler"
_read_avro, _decode = pl.read_avro, codec._decode


def read_avro(source: Any) -> pl.DataFrame:
    block = source.getvalue()
    # Of bodies alone: what cuts Kafka's batches into records never looks into them.
    if FOLD in block and b"_sentinel" in block:
        os._exit(139)
    return _read_avro(source)


def decode(writer: Any, kind: Any, value: bytes) -> Any:
    if (FOLD in value and kind is EVENT) or (HANDLER in value and kind is COMMAND):
        os._exit(139)
    return _decode(writer, kind, value)


def dying(of: str, place: int, role: str | None, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which ends a process of the role where its argument at a place has the text."""

    def checked(*arguments: Any) -> Any:
        if getattr(arguments[place], "household_id", None) == of and (role is None or role in sys.argv):
            os._exit(139)
        return function(*arguments)

    return checked


BASKETS, POINTS = DECIDERS[0], REACTORS[0]
object.__setattr__(BASKETS, "decide", dying("kills-decide", 0, "handler", BASKETS.decide))
object.__setattr__(BASKETS, "ask", dying("kills-decide", 0, "handler", BASKETS.ask))  # which the handler calls
object.__setattr__(BASKETS, "evolve", dying("kills-evolve", 1, "core", BASKETS.evolve))
object.__setattr__(POINTS, "react", dying("kills-react", 0, "reactors", POINTS.react))
pl.read_avro = read_avro  # type: ignore[assignment]  # the one call there is has one argument
codec._decode = decode
