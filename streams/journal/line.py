"""A line before it is written: what was said, of what, and which fault it is one of."""

import logging
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refold.streams.journal.about import ABOUT, CONTEXT, FIELDS, IDS, code_of
from refold.streams.journal.masking import Masking

MOST_MESSAGE, MOST_EXCEPTION = 4_000, 8_000
"""Characters that are kept: of a message its begin and some of its end, of an exception its end. What carries lines on cuts them at 16 KiB, mostly."""
_MESSAGE_END = 1_000
_FORMATS = re.compile(r"%[-#0 +]*[\d*]*(?:\.[\d*]+)?[a-zA-Z%]")
_NUMBERS = re.compile(r"[0-9a-fA-F]*\d[0-9a-fA-F]*")
_COMPARED = 300
PRINTED = ("stdout", "stderr")
"""Loggers of what is printed: a line of these is not a whole message, so none is taken for a repeat of another."""

Fault = tuple[object, ...]
"""What two lines have in common that tell of the same fault."""


@dataclass(frozen=True)
class Line:
    """One line. `time`: seconds since 1970. `count`: how often what it says came since it was said last; None: it is said now.

    `total`: of the last line of a fault, how often it came in all.
    """

    time: float
    level: int
    logger: str
    message: str
    code: str | None = None
    exception: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    fault: Fault | None = None
    count: int | None = None
    total: int | None = None


def line_of(record: logging.LogRecord, masking: Masking) -> Line:
    """What a record of `logging` says."""
    about: Mapping[str, Any] = getattr(record, ABOUT, None) or {}
    context = CONTEXT.get() or {}
    raised = record.exc_info[1] if record.exc_info else None
    message, code = _message(record), about.get("code") or code_of(raised)
    fields = {name: context[name] for name in IDS if context.get(name) is not None}
    fields |= {name: about[name] for name in FIELDS if name in about}
    is_fault = (record.levelno >= logging.WARNING and record.name not in PRINTED) or about.get("repeats")
    return Line(
        record.created,
        record.levelno,
        record.name,
        _shortened(masking.masked(message.strip())),
        code,
        _exception(record, masking),
        fields,
        _fault(record, message, code, raised, about) if is_fault else None,
    )


def _message(record: logging.LogRecord) -> str:
    """Whatever a caller hands over, there is a line."""
    try:
        return record.getMessage()
    except Exception as problem:
        return f"{record.msg} {type(problem).__name__}"


def _exception(record: logging.LogRecord, masking: Masking) -> str | None:
    parts = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info and record.exc_info[0] else ""
    whole = parts + (record.stack_info or "")
    return _end(masking.masked(whole.strip())) if whole else None


def _fault(
    record: logging.LogRecord, message: str, code: str | None, raised: BaseException | None, about: Mapping[str, Any]
) -> Fault:
    """The words as they stand in the code; where these are all given, the message but for its numbers."""
    words = record.msg if isinstance(record.msg, str) and record.args else ""
    if "words" in about or (code is None and not any(map(str.isalpha, _FORMATS.sub("", words)))):
        words = _NUMBERS.sub("#", about.get("words", message)[:_COMPARED])
    of = about.get("topic"), about.get("partition"), about.get("of")
    return record.name, record.levelno, words or message, code, type(raised), of


def _shortened(text: str) -> str:
    """Its begin and its end: some libraries put a traceback into a message."""
    left_out = len(text) - MOST_MESSAGE
    return (
        text
        if left_out <= 0
        else f"{text[: -_MESSAGE_END - left_out]} … ({left_out} characters) … {text[-_MESSAGE_END:]}"
    )


def _end(text: str) -> str:
    left_out = len(text) - MOST_EXCEPTION
    return text if left_out <= 0 else f"({left_out} characters before) … {text[-MOST_EXCEPTION:]}"
