"""Counts of the streams of changes. docs/metrics.md lists names and labels."""

from prometheus_client import Counter

STREAMS = Counter("refold_changes_streams_total", "Streams of changes begun.", ["model"])
BATCHES = Counter("refold_changes_batches_total", "Batches of changes made, each once for all who get it.", ["model"])
SENT = Counter("refold_changes_sent_total", "Batches sent, each once for every client.", ["model"])
ENDED = Counter(
    "refold_changes_ended_total", "Streams of changes ended by this side, by the reason told.", ["model", "code"]
)
