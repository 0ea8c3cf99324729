"""`refold demo` as a user runs it: from nothing to one JSON object; and again, over what is there already."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from refold.api.demo.campaign_oracle import expected_campaigns, expected_coupons
from refold.api.demo.household_oracle import expected_households
from refold.api.demo.line_oracle import expected_departments, expected_lines, expected_products
from refold.api.demo.loyalty import open_loyalty
from refold.api.demo.oracle import expected
from refold.api.demo.receipts import open_receipts
from refold.api.embedded.removal import remove_data
from tests.conftest import PREFIX

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TOTALS = ("campaigns", "coupons", "points")


@pytest.fixture
def data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}demo-"))
    folder.chmod(0o755)
    yield folder
    remove_data(folder)


def demo(data: Path) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    done = subprocess.run(
        [sys.executable, "-m", "refold.api.cli.app", "demo", "--weeks", "1", "--json", "--exit"],
        env=environment | {"REFOLD_DATA": str(data), "REFOLD_API_PORT": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_week_comes_out_to_the_cent_and_a_second_run_changes_nothing(data: Path) -> None:
    with open_receipts() as receipts, open_loyalty() as loyalty:
        wanted = expected(receipts, 1)
        cards = expected_households(receipts, loyalty, 1)
        lines = expected_lines(receipts, 1)
        products = expected_products(receipts, lines)
        within = loyalty.until(receipts.end(1))
        models = {
            "basket_lines": lines.height,
            "product_weeks": products.height,
            "department_weeks": expected_departments(products).height,
            "campaigns": expected_campaigns(within).height,
            "coupons": expected_coupons(within).height,
        }
    first, second = demo(data), demo(data)
    for found in (first, second):
        assert found["checked"] is True
        assert found["commands"] == wanted.size.commands == found["accepted"] + found["rejected"]
        assert found["rejections"] == wanted.rejections
        assert found["events"] == found["accepted"]
        assert found["lines"] + found["lines_rejected"] == found["lines_sent"] == wanted.size.lines
        assert Decimal(found["revenue"]) == sum(row[2] for row in wanted.store_daily.values() if row[2])
        households = found["households"]
        assert households["commands"] == cards.commands == households["accepted"] + households["rejected"]
        assert households["rows_checked"] == len(cards.rows)
        assert [households[name] for name in TOTALS] == [cards.total(name) for name in TOTALS]
        assert found["models"] == models
        assert found["differences"] == households["differences"] == 0
        assert found["rows_rebuilt"] > found["rows_checked"] == len(wanted.store_daily)
        assert found["ingest_per_s"] > 0
        assert found["rebuild_per_s"] > 0
        assert 0 < found["latency_ms"]["answer_p50"] <= found["latency_ms"]["answer_p99"]
        assert found["latency_ms"]["answer_p50"] <= found["latency_ms"]["visible_p50"]
