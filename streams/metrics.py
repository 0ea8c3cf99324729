"""The metrics of the write side. docs/metrics.md lists names and labels; a label never holds an id."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import Counter, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

RECORDS = Counter("refold_records_folded_total", "Records folded and committed.", ["group"])
STAGES = Histogram(
    "refold_chunk_stage_seconds",
    "Seconds of one stage of folding a batch of chunks.",
    ["group", "stage"],
    buckets=_SECONDS,
)
FALL_BACKS = Counter(
    "refold_decode_fall_backs_total", "Records decoded one by one because decoding them as columns failed.", ["group"]
)
UPCAST = Counter("refold_upcast_records_total", "Records of retired types read through their upcasters.", ["group"])
ROW_WISE = Counter(
    "refold_rules_row_wise_total", "Records judged one by one because not all records of their chunk count.", ["group"]
)
VOIDS = Counter("refold_void_ranges_total", "Ranges of records that do not count.", ["category", "reason"])
CONFLICTS = Counter(
    "refold_position_conflicts_total", "Chunks refused because the stored position was elsewhere.", ["group"]
)
RESEEKS = Counter("refold_reseeks_total", "Positions read again and sought.", ["group", "cause"])
COMMANDS = Counter("refold_commands_decided_total", "Commands decided and appended.", ["category", "outcome"])
REJECTIONS = Counter("refold_commands_rejected_total", "Commands rejected and appended.", ["category", "code"])
CLAIMS = Counter("refold_claims_total", "Claims appended, won and lost.", ["event"])
UNREADABLE = Counter(
    "refold_unreadable_commands_total",
    "Commands rejected because their bytes could not be decoded.",
    ["category", "reason"],
)
FOREIGN = Counter(
    "refold_foreign_records_total", "Records of a foreign topic that were published or refused.", ["topic", "outcome"]
)
SET_ASIDE = Counter(
    "refold_set_aside_total",
    "Records set aside because the process died while it decoded them or ran the domain's code on them.",
    ["group"],
)


def observe(group: str, stage: str, seconds: float) -> None:
    """Record the duration of a stage, in seconds."""
    STAGES.labels(group, stage).observe(seconds)


@contextmanager
def stage(group: str, name: str) -> Iterator[None]:
    """Time a stage."""
    began = perf_counter()
    try:
        yield
    finally:
        observe(group, name, perf_counter() - began)
