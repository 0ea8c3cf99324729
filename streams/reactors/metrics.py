"""What the reactors count. Names and labels are listed in docs/metrics.md; never an id in a label."""

from prometheus_client import Counter

COMMANDS = Counter("refold_reactor_commands_total", "Commands sent and acknowledged, repeats included.", ["reactor"])
PARKED = Counter("refold_reactor_parked_total", "Streams parked for a reactor.", ["reactor", "code"])
WAITING = Counter(
    "refold_reactor_waiting_total", "Events passed over because their stream is parked for the reactor.", ["reactor"]
)
