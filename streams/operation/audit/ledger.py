"""The result of an audit: a ledger of each partition's records, and the findings. Its sums must come out even."""

from collections import Counter
from dataclasses import dataclass, field

LISTED = 1000
"""Most findings that are kept one by one; all are counted."""


@dataclass(frozen=True)
class Finding:
    """One thing that should not be. `kind` is a stable word (docs/replay.md lists them). `part`, `offset`: None if it has none."""

    kind: str
    topic: str
    part: int | None
    offset: int | None
    what: str


@dataclass
class EventLedger:
    """The records of a partition of events up to the core's position; every record is one of these."""

    topic: str
    part: int
    records: int = 0
    events: int = 0
    rejections: int = 0
    claims: int = 0
    void: int = 0
    foreign: int = 0
    control: int = 0
    waiting: int = 0
    """Records behind the core's position."""
    parked: int = 0
    """Events among `events` that wait, for every read model, because they cannot be read."""


@dataclass
class CommandLedger:
    """The commands of one sender in a partition: `decided` have their outcome, `repeats` ask for one again."""

    topic: str
    part: int
    sender: str | None
    commands: int = 0
    decided: int = 0
    repeats: int = 0
    waiting: int = 0


@dataclass
class Audit:
    """The ledgers, the foreign records, and the findings."""

    events: list[EventLedger] = field(default_factory=list)
    commands: list[CommandLedger] = field(default_factory=list)
    foreign: list[Finding] = field(default_factory=list)
    """Records that are not ours, which every reader skips. They are no fault of the tables."""
    findings: list[Finding] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    """How many findings there are of each kind, listed or not."""

    def find(self, finding: Finding) -> None:
        """Count a finding, and list it if there is room."""
        self.kinds[finding.kind] += 1
        if len(self.findings) < LISTED:
            self.findings.append(finding)

    def note_foreign(self, found: Finding) -> None:
        """List a foreign record if there is room; the ledger counts all."""
        if len(self.foreign) < LISTED:
            self.foreign.append(found)
