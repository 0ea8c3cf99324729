"""Counts of the answers that are kept in memory. docs/metrics.md lists names and labels."""

from prometheus_client import Counter, Gauge

HITS = Counter("refold_kept_answers_hits_total", "Reads answered from memory.")
MISSES = Counter("refold_kept_answers_misses_total", "Reads that could have been answered from memory, and read rows.")
BYTES = Gauge("refold_kept_answers_bytes", "Bytes of answers kept in memory.", multiprocess_mode="livesum")
