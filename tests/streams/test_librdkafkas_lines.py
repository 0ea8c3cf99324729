"""Tests librdkafka's log lines: the lines that are kept, and those that count as one fault."""

import logging

import pytest

from refold.streams.journal.line import Line, line_of
from refold.streams.journal.masking import Masking
from refold.streams.kafka import clients

REFUSED = "[thrd:b:1/bootstrap]: b:1/bootstrap: Connect to ipv4#10.0.0.1:1 failed: Connection refused"


def heard(facility: str, text: str, client: str = "refold#producer-1") -> Line | None:
    record = logging.LogRecord("librdkafka", logging.WARNING, "", 0, "%s [%s] %s", (facility, client, text), None)
    return line_of(record, Masking()) if clients._log.filter(record) else None


@pytest.mark.parametrize(
    ("facility", "text"),
    [
        ("GETPID", "[thrd:main]: Failed to acquire idempotence PID from broker b:1/1: Coordinator load in progress: retrying"),
        ("METADATAUPDATE", "[thrd:main]: Topic id r+UaPSgaREmPbHEtjktdfw not found in cache"),
    ],
)  # fmt: skip
def test_what_mends_itself_and_leaves_nothing_to_do_is_not_heard(facility: str, text: str) -> None:
    assert heard(facility, text) is None


def test_one_fault_of_many_clients_threads_and_moments_is_one() -> None:
    same = [
        heard("FAIL", f"{REFUSED} (after 0ms in state CONNECT)"),
        heard("FAIL", f"{REFUSED} (after 7ms in state CONNECT, 31 identical error(s) suppressed)"),
        heard("FAIL", f"{REFUSED} (after 7ms in state CONNECT)", "refold-refold-core@host.4711#consumer-2"),
        heard(
            "FAIL",
            "[thrd:GroupCoordinator]: GroupCoordinator: b:1: Connect to ipv4#10.0.0.1:1 failed: Connection refused (after 1ms in state CONNECT)",
        ),
        heard(
            "FAIL",
            "[thrd:b:1/7]: b:1/7: Connect to ipv4#10.0.0.1:1 failed: Connection refused (after 1ms in state CONNECT)",
        ),
    ]
    assert len({line.fault for line in same if line}) == 1
    others = [
        heard("ERROR", REFUSED), heard("FAIL", REFUSED.replace("refused", "timed out")), heard("GETPID", "[thrd:main]: fatal"),
        heard("FAIL", "[thrd:c:1/7]: c:1/7: Disconnected (after 1ms in state UP)"), heard("FAIL", "[thrd:b:1/7]: b:1/7: Disconnected (after 1ms in state UP)"),
        heard("FAIL", "[thrd:b:1/bootstrap]: b:1/bootstrap: SASL authentication error: no (after 7ms in state AUTH_REQ)"),
    ]  # fmt: skip
    assert len({line.fault for line in (*same, *others) if line}) == 1 + len(others)


def test_its_words_stay_whole() -> None:
    line = heard("FAIL", f"{REFUSED} (after 0ms in state CONNECT)")
    assert line
    assert line.message == f"FAIL [refold#producer-1] {REFUSED} (after 0ms in state CONNECT)"
