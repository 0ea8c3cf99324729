"""The reactors' metrics. docs/metrics.md lists names and labels; a label never holds an id."""

from prometheus_client import Counter

COMMANDS = Counter("refold_reactor_commands_total", "Commands sent and acknowledged, repeats included.", ["reactor"])
PARKED = Counter("refold_reactor_parked_total", "Streams parked for a reactor.", ["reactor", "code"])
WAITING = Counter(
    "refold_reactor_waiting_total", "Events skipped because their stream is parked for the reactor.", ["reactor"]
)
