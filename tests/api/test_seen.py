"""/readyz and /metrics report the background looks: grave findings, partial ones, and missing answers."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from refold.api.health import Look
from refold.api.http.describe import seen
from refold.api.http.describe.metrics import metrics_page
from refold.api.http.describe.seen import Before, Seen, Watch
from refold.streams.domain import Domains
from refold.streams.operation.lag import LagReader
from refold.streams.operation.verdict import Finding
from tests.conftest import settings_for


def finding(code: str, role: str = "core") -> Finding:
    return Finding(code, "it stands", "do it", role)


@pytest.mark.parametrize(
    ("found", "gone", "ok", "detail"),
    [
        ([], [], True, ""),
        ([finding("no-core")], ["core"], False, "no-core: it stands"),
        ([finding("no-core")], [], True, "no-core: it stands"),
        (
            [finding("detached", "models"), finding("parked", "models")],
            [],
            True,
            "detached: it stands; parked: it stands",
        ),
        ([finding("waits")], [], False, "waits: it stands"),
        ([finding("foreign-member")], [], False, "foreign-member: it stands"),
        ([finding("does-not-move")], [], False, "does-not-move: it stands"),
        ([finding("postgres-does-not-write", "postgres")], [], False, "postgres-does-not-write: it stands"),
        ([finding("log-shorter", "log")], [], False, "log-shorter: it stands"),
        ([finding("kafka-unavailable", "kafka")], [], True, ""),
    ],
)
def test_all_that_stands_still_is_named_and_what_is_more_than_a_part_is_unready(
    found: list[Finding], gone: list[str], ok: bool, detail: str
) -> None:
    check = Seen(found, frozenset(gone)).check()
    assert (check.name, check.ok, check.detail) == ("workers", ok, detail)


@pytest.fixture
def watch(tmp_path: Path, domains: Domains) -> Watch:
    settings = settings_for("127.0.0.1:1", "postgresql://u@127.0.0.1:1/x", tmp_path)
    return Watch(settings, domains, LagReader(settings, domains, ()))


def test_what_was_seen_is_told_until_it_is_stale_and_then_who_gives_no_answer(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "ANSWER_S", 0.01)
    watch._seen = last = Seen([finding("waits")])
    assert watch.seen() is last
    text = metrics_page(watch.metrics()).decode()
    assert 'refold_standing_still{kind="waits",role="core"} 1.0' in text
    watch._seen, watch._asking = replace(last, at=time.monotonic() - 16), "kafka"
    (silent,) = watch.seen().findings
    assert (silent.code, silent.role) == ("kafka-unavailable", "kafka")
    text = metrics_page(watch.metrics()).decode()
    assert 'refold_up{server="kafka"} 0.0' in text
    assert 'kind="waits"' not in text


def test_a_server_that_is_away_is_a_finding_and_the_next_look_connects_anew(watch: Watch) -> None:
    found = watch._failed("database-unavailable", "connection refused")
    assert found.check().ok, "/readyz has a check of its own for it"
    assert 'refold_up{server="postgres"} 0.0' in metrics_page(found.metrics).decode()


def test_a_look_is_compared_with_one_that_is_old_enough() -> None:
    looks = [Look(at, [], [], [], frozenset()) for at in (0.0, 5.0, 9.0)]
    before = Before(looks[2], looks[:2])
    assert before(3.0) is looks[1]
    assert before(7.0) is looks[0]
    assert before(10.0) is None
