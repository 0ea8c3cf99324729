"""On PYTHONPATH every Python process has decoders that die of some texts, as a defect in a native library would have it."""

import os
from typing import Any

import polars as pl

from refold.schemas import codec
from refold.schemas.envelope import COMMAND, EVENT

FOLD, HANDLER = b"kills-the-fold", b"kills-the-handler"
_read_avro, _decode = pl.read_avro, codec._decode


def read_avro(source: Any) -> pl.DataFrame:
    if FOLD in source.getvalue():
        os._exit(139)
    return _read_avro(source)


def decode(writer: Any, kind: Any, value: bytes) -> Any:
    if (FOLD in value and kind is EVENT) or (HANDLER in value and kind is COMMAND):
        os._exit(139)
    return _decode(writer, kind, value)


pl.read_avro = read_avro  # type: ignore[assignment]  # the one call there is has one argument
codec._decode = decode
