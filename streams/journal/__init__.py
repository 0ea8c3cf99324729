"""What a process says of itself while it runs, line by line, for those who operate it: docs/logging.md.

Not the log of records, which `log` and its neighbours read. Everything goes through Python's `logging`: whoever has something
to say takes a logger of its module's name, and hands `extra=about(…)` over where a line is about an error, a record or a command.
"""

from refold.streams.journal.about import CONTEXT, about
from refold.streams.journal.setup import CLI, SERVICES, end, is_json, is_service, leave, set_up

__all__ = ["CLI", "CONTEXT", "SERVICES", "about", "end", "is_json", "is_service", "leave", "set_up"]
