"""Counts of the streams of changes. docs/metrics.md lists names and labels."""

from collections.abc import Mapping

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily, Metric

STREAMS = Counter("refold_changes_streams_total", "Streams of changes begun.", ["model"])
BATCHES = Counter("refold_changes_batches_total", "Batches of changes made, each once for all who get it.", ["model"])
SENT = Counter("refold_changes_sent_total", "Batches sent, each once for every client.", ["model"])
ENDED = Counter(
    "refold_changes_ended_total", "Streams of changes ended by this side, by the reason told.", ["model", "code"]
)


def open_now(streams: Mapping[str, int]) -> list[Metric]:
    """How many streams each model has now at this process."""
    family = GaugeMetricFamily("refold_changes_open", "Streams of changes open at this process.", labels=["model"])
    for model, number in sorted(streams.items()):
        family.add_metric([model], number)
    return [family]
