"""A log line before it is written: its message, its subject, and its fault."""

import logging
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refold.streams.journal.about import ABOUT, CONTEXT, FIELDS, IDS, code_of
from refold.streams.journal.masking import Masking

MOST_MESSAGE, MOST_EXCEPTION = 4_000, 8_000
"""Most characters kept: of a message its beginning and some of its end, of an exception its end. Most log carriers cut
lines at 16 KiB."""
_MESSAGE_END = 1_000
_FORMATS = re.compile(r"%[-#0 +]*[\d*]*(?:\.[\d*]+)?[a-zA-Z%]")
_NUMBERS = re.compile(r"[0-9a-fA-F]*\d[0-9a-fA-F]*")
_COMPARED = 300
PRINTED = ("stdout", "stderr")
"""Loggers of printed output. Their lines are parts of messages, so none counts as a repeat of another."""

Fault = tuple[object, ...]
"""A key that two lines share if they report the same fault."""


@dataclass(frozen=True)
class Line:
    """One line. `time`: seconds since 1970. `count`: its repeats since it was last told; None if told now.

    `total`: how often it came in all; set on the last line of a fault.
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
    """The line for a record of `logging`."""
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
    """The message; whatever a caller passed, there is a line."""
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
    """The key of the line's fault: its words in the code, or the message without numbers if there are none."""
    words = record.msg if isinstance(record.msg, str) and record.args else ""
    if "words" in about or (code is None and not any(map(str.isalpha, _FORMATS.sub("", words)))):
        words = _NUMBERS.sub("#", about.get("words", message)[:_COMPARED])
    of = about.get("topic"), about.get("partition"), about.get("of")
    return record.name, record.levelno, words or message, code, type(raised), of


def _shortened(text: str) -> str:
    """Its beginning and its end: some libraries put a traceback into a message."""
    left_out = len(text) - MOST_MESSAGE
    return (
        text
        if left_out <= 0
        else f"{text[: -_MESSAGE_END - left_out]} … ({left_out} characters) … {text[-_MESSAGE_END:]}"
    )


def _end(text: str) -> str:
    left_out = len(text) - MOST_EXCEPTION
    return text if left_out <= 0 else f"({left_out} characters before) … {text[-MOST_EXCEPTION:]}"
