"""Old and new code of a domain side by side under load, forward and back.

Every API answers, every table is right, and nothing stays apart.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from refold.streams.settings import Settings
from tests.e2e.shops import Load, Site, fresh
from tests.e2e.tables import until
from tests.e2e.versions import WELL

OLD = """
READ_MODELS = (
    by_store("kept", lines=LINES),
    by_store("totals", lines=LINES, removed=LINES, revenue=REVENUE),
    by_store("gone", lines=LINES),
    by_store("before", lines=LINES),
    best("lines", "bigint"),
)
"""
NEW = """
READ_MODELS = (
    by_store("kept", lines=LINES),
    by_store("totals", inserted=opened.count("Baskets."), lines=REVENUE, renamed=REVENUE, added=LINES),
    by_store("after", lines=LINES),
    by_store("more", lines=LINES),
    best("renamed", "numeric(38,2)"),
)
"""


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Iterator[Site]:
    found = Site(settings, tmp_path, {"old": OLD, "new": NEW})
    yield found
    found.kill()


def apart(site: Site) -> list[tuple[object, ...]]:
    return site.rows(
        "SELECT model, status, detached_code FROM refold.builds WHERE status = 'serving' AND detached_code IS NOT NULL"
    )


@pytest.mark.e2e
@pytest.mark.timeout(420)
def test_two_versions_side_by_side_under_load_forth_and_back(site: Site) -> None:
    site.start("old", "core", "models", "api")
    until(lambda: site.get("old", "/readyz") == WELL, 60, "the old API is not ready")
    load = Load(site.settings)
    with load.written():
        for model in ("kept", "totals", "gone", "before", "best"):
            until(lambda of=model: site.get("old", f"/v1/shop/{of}?limit=1") == WELL, 60, f"{model} is not served")  # type: ignore[misc]  # bound at once
        fresh(site, "kept", "totals", "gone", "before")
        with site.asked("old", "kept", "totals", "gone", "before", "best"):
            site.start("new", "models", "api")
            until(lambda: site.get("new", "/readyz") == WELL, 60, "the new API is not ready")
            until(lambda: len(apart(site)) == 3, 60, "the new code lacks three")
            with site.asked("new", "kept", "totals", "best"):
                time.sleep(2)
                site.run("new", "replay", "rebuild", "--all", "--execute")
                until(lambda: len(apart(site)) >= 3, 60, "the old code lacks what is new")
                time.sleep(2)
                assert site.get("new", "/v1/shop/after?limit=1") == WELL
                site.stop("old", "models")
                until(
                    lambda: {model for model, *_ in apart(site)} == {"gone", "before"}, 60, "what is new is not joined"
                )
    assert {version: set(counts) for version, counts in site.answers.items()} == {"old": {WELL}, "new": {WELL}}
    site.stop("old", "api")
    fresh(site, "kept", "totals", "after", "more")
    check(site, "new", "lines", "added", load.lines)

    if os.environ.get("DEPLOYS"):
        and_back(site, load)


def and_back(site: Site, load: Load) -> None:
    """The old code again, while the new one runs."""
    with load.written():
        site.start("old", "models", "api")
        until(lambda: site.get("old", "/readyz") == WELL, 60, "the old API is not ready")
        with site.asked("old", "kept", "totals", "gone", "before", "best"):
            site.run("old", "replay", "rebuild", "--all", "--execute")
            site.stop("new", "models", "api")
            until(lambda: {model for model, *_ in apart(site)} == {"after", "more"}, 60, "what is old is not joined")
    assert set(site.answers["old"]) == {WELL}
    fresh(site, "kept", "totals", "gone", "before")
    check(site, "old", "revenue", "lines", load.lines)
    report = json.loads(site.run("old", "replay", "rebuild", "--all", "--execute", "--json"))
    assert {model["differing"] for model in report["models"]} == {0}


def check(site: Site, version: str, money: str, lines: str, written: int) -> None:
    """Both tables say what was written, and so does the view."""
    ((counted, total),) = site.rows(f"SELECT sum({lines})::bigint, sum({money}) FROM shop.totals")
    assert counted == written
    assert site.rows("SELECT sum(lines)::bigint FROM shop.kept") == [(written,)]
    worth = {"new": total, "old": counted}[version]
    assert site.rows("SELECT sum(worth) FROM shop.best") == [(worth,)]
