"""The summary of a run: the object that `--json` prints."""

from dataclasses import asdict, dataclass
from typing import Any

from refold.api.demo.check import Checked
from refold.api.demo.folded import Outcomes
from refold.api.demo.frames import CheckedModel
from refold.api.demo.households import CheckedHouseholds
from refold.api.demo.latency import Latency
from refold.api.demo.oracle import Expected
from refold.api.demo.rebuild import Rebuild


@dataclass(frozen=True)
class Summary:
    """A whole run."""

    weeks: int
    expected: Expected
    outcomes: Outcomes
    checked: Checked
    models: list[CheckedModel]
    households: CheckedHouseholds
    ingest_s: float
    latency: Latency
    rebuild: Rebuild
    rebuilt_equal: bool

    @property
    def equal(self) -> bool:
        """Whether nothing differs anywhere."""
        return not self.differences and self.rebuilt_equal

    @property
    def differences(self) -> int:
        """Number of wrong numbers and rows."""
        rows = sum(one.differing for one in self.models)
        return len(self.checked.differences) + len(self.households.differences) + rows

    @property
    def ingest_per_s(self) -> int:
        """Commands per second, from the first one sent to the last one folded and shown."""
        return round(self.expected.size.commands / self.ingest_s)

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON. Money is text, as in the API; `lines` and `revenue` are the API's, of accepted lines."""
        sent = self.expected.size
        return {
            "weeks": self.weeks,
            "commands": sent.commands,
            "accepted": self.outcomes.accepted,
            "rejected": self.outcomes.rejected,
            "events": self.outcomes.events,
            "lines": self.checked.lines,
            "revenue": str(self.checked.revenue),
            "checked": self.equal,
            "ingest_per_s": self.ingest_per_s,
            "rebuild_per_s": self.rebuild.events_per_s,
            "latency_ms": asdict(self.latency),
            "lines_sent": sent.lines,
            "lines_rejected": self.outcomes.rejections.get("quantity-below-one", 0),
            "baskets_sent": sent.baskets,
            "baskets_paid": self.checked.baskets_paid,
            "products_listed": sent.products,
            "rejections": self.outcomes.rejections,
            "rows_checked": self.checked.rows,
            "rows_rebuilt": self.rebuild.compared,
            "differences": self.differences,
            "ingest_s": round(self.ingest_s, 1),
            "households": self.households.as_json(),
            "models": {one.name: one.rows for one in self.models},
        }
