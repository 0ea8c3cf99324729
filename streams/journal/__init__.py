"""Writes log lines of a running process, for those who operate it (docs/logging.md).

This is not the log of records, which `log` and its neighbours read. Everything goes through Python's `logging`: a
module logs with a logger of its own name, and passes `extra=about(…)` if the line is about an error, a record or a
command.
"""

from refold.streams.journal.about import CONTEXT, about
from refold.streams.journal.setup import CLI, SERVICES, end, is_json, is_service, leave, set_up

__all__ = ["CLI", "CONTEXT", "SERVICES", "about", "end", "is_json", "is_service", "leave", "set_up"]
