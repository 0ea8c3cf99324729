"""Formats a line as text for people or JSON for programs, and parses lines again for the supervisor. Pure."""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from refold.streams.journal.about import IDS
from refold.streams.journal.line import Line

JSON = "json"
FOLLOWS = "    "
"""The indent of each further line of a message or an exception, in text."""
_TEXT = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<level>[A-Z]+) (?P<role>[\w-]+)\[(?P<pid>\d+)\] (?P<logger>[\w.-]+): (?P<message>.*)"
)
_UNSEEN = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160), 0x2028, 0x2029)}
"""Characters that control a terminal or begin a line, except tab and newline."""
_NO_NAME = re.compile(r"[^\w.-]+", re.ASCII)


@dataclass(frozen=True)
class LineWriter:
    """The process that writes: its role, or its name under a supervisor, and its pid."""

    role: str
    pid: int


Form = Callable[[Line, LineWriter], str]
"""A line as text that ends without a newline."""


@dataclass(frozen=True)
class Read:
    """A line of another process, parsed by its supervisor. `time`: ISO-8601, UTC."""

    time: str
    level: str
    logger: str
    message: str


def as_text(line: Line, writer: LineWriter) -> str:
    """`TIME LEVEL role[pid] logger: message`, then the ids; an exception follows, each of its lines indented."""
    ids = "".join(f" {name}={line.fields[name]}" for name in IDS if name in line.fields)
    head, *rest = (
        f"{line.message}\n{line.exception}".splitlines() if line.exception else [*line.message.splitlines(), ""]
    )
    first = f"{_time(line)} {logging.getLevelName(line.level)} {writer.role}[{writer.pid}] {_name(line)}: {head}{ids}"
    return "\n".join([first, *(f"{FOLLOWS}{more}" for more in rest if more)]).translate(_UNSEEN)


def as_json(line: Line, writer: LineWriter) -> str:
    """One JSON object; missing fields are left out."""
    found: dict[str, Any] = {
        "time": _time(line),
        "level": logging.getLevelName(line.level),
        "role": writer.role,
        "pid": writer.pid,
        "logger": line.logger,
        "message": line.message,
        "code": line.code,
        **line.fields,
        "count": line.count,
        "total": line.total,
        "exception": line.exception,
    }
    return json.dumps({name: value for name, value in found.items() if value is not None}, default=str)


def form_of(name: str) -> Form:
    """The form named by the setting `log_format`."""
    return as_json if name == JSON else as_text


def read(text: str) -> Read | None:
    """Parse a line in either form. None if it is neither, or continues the line before."""
    if text.startswith("{"):
        try:
            found = json.loads(text)
            return Read(found["time"], found["level"], found["logger"], found["message"])
        except (ValueError, KeyError, TypeError):
            return None
    match = _TEXT.fullmatch(text)
    return Read(match["time"], match["level"], match["logger"], match["message"]) if match else None


def _time(line: Line) -> str:
    return datetime.fromtimestamp(line.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _name(line: Line) -> str:
    return _NO_NAME.sub("_", line.logger) or "_"
