"""docs/metrics.md lists exactly the metrics of the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_every_metric_is_documented_and_no_other() -> None:
    sources = [
        path.read_text()
        for package in ("streams", "projections", "api")
        for path in (ROOT / package).rglob("metrics.py")
    ]
    named = {name for text in sources for name in re.findall(r'"(refold_[a-z_]+)"', text)}
    rows = [line for line in (ROOT / "docs/metrics.md").read_text().splitlines() if line.startswith("| `")]
    assert {row.split("`")[1] for row in rows} == named
    assert "refold_lag_seconds" in named
