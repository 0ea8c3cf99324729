"""What the doors refuse, counted."""

from prometheus_client import Counter

REFUSED = Counter(
    "refold_http_refused_total",
    "HTTP requests refused at the door, and lines of a batch that its sender may not send, by code.",
    ["code"],
)
