"""Which servers a command finds, and which missing one it names."""

from pathlib import Path

import pytest

from refold.api.embedded import servers
from refold.api.embedded.servers import Endpoints, connected
from refold.streams.errors import NotConnected
from refold.streams.settings import Settings


@pytest.mark.parametrize(
    ("found", "missing"),
    [(Endpoints(None, "postgresql://here"), "No Kafka"), (Endpoints("here:1", None), "No Postgres")],
)
def test_the_server_that_is_missing_is_the_one_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Endpoints, missing: str
) -> None:
    monkeypatch.setattr(servers, "find_running", lambda _: found)
    settings = connected(Settings(data=tmp_path, kafka=None, database_url=None))
    assert (settings.kafka, settings.database_url and settings.dsn()) == found
    with pytest.raises(NotConnected, match=missing):
        settings.require_servers()
