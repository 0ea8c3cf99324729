"""Runs `refold replay audit`'s own check on a site after its load: a second opinion, which reads commands too."""

from contextlib import closing

from refold.streams.operation.audit.audit import audit
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings
from tests.e2e.oracle import DOMAINS


def assert_audit_finds_nothing(settings: Settings) -> None:
    """Every command has one outcome or waits; every event is counted once, or left out for a reason."""
    with closing(connect(settings.dsn(), application_name="test")) as db:
        found = audit(settings, DOMAINS, db, lambda *_: None)
    assert found.findings == []
    for ledger in found.events:
        parts = ledger.events, ledger.rejections, ledger.claims, ledger.void, ledger.foreign, ledger.control
        assert ledger.records == sum(parts), ledger
    for sender in found.commands:
        assert sender.commands == sender.decided + sender.repeats + sender.waiting, sender
    assert sum(ledger.records for ledger in found.events) > 0
