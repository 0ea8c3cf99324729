"""The metrics of the read side. docs/metrics.md lists names and labels; a label never holds an id."""

from prometheus_client import Counter

EVENTS = Counter("refold_models_events_total", "Events that count, folded by the models group.", ["category"])
PARKED = Counter("refold_models_parked_total", "Streams parked by this process.", ["category", "code"])
WAITING = Counter("refold_models_waiting_total", "Events skipped because their stream is parked.", ["category"])
DETACHED = Counter("refold_models_detached_total", "Read models detached by this process.", ["model", "code"])
EXPLAINED = Counter("refold_explained_records_total", "Records read to explain rows.", ["found_by"])
