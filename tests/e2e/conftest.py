"""One stack that most tests on whole processes share, with failpoints and a load that each test starts and stops."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from refold.api.cli.stack import Stack
from refold.api.embedded.servers import Endpoints
from refold.streams import failpoints
from refold.streams.domain import load_domains
from refold.streams.settings import Settings
from tests.conftest import fresh_database, settings_for
from tests.e2e.load import Load
from tests.e2e.tables import number, until

_MODELS = "SELECT count(*)::int FROM pg_views WHERE schemaname = 'retail' AND viewname IN ('baskets', 'store_daily', 'product_sales', 'households')"


@dataclass
class Running:
    """A stack under one load, whose totals grow from test to test: each test's check covers those before it, too."""

    stack: Stack
    armed: Path
    load: Load

    @property
    def settings(self) -> Settings:
        return self.stack.settings

    def arm(self, name: str, action: str) -> Path:
        """Whoever comes to the failpoint next is killed or stopped there; the file is whole as soon as it can be seen."""
        fresh, place = self.armed / f"{name}.new", self.armed / name
        fresh.write_text(action)
        return fresh.replace(place)

    @contextmanager
    def under_load(self, per_second: float = 40) -> Iterator[Load]:
        """Baskets are sent while the block runs; all of them are acknowledged at its end."""
        self.load.per_second = per_second
        self.load.start()
        try:
            yield self.load
        finally:
            self.load.stop()


@pytest.fixture(scope="session")
def running(servers: Endpoints, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Processes of its own on the servers of the run."""
    folder = tmp_path_factory.mktemp("running")
    armed = folder / "failpoints"
    armed.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(failpoints.VARIABLE, str(armed))
        for database in fresh_database(template):
            with Stack(settings_for(servers.kafka, database, folder / "data"), lambda _: None) as stack:
                stack.wait_until_ready()
                until_shown(stack.settings)
                yield Running(stack, armed, Load(stack.settings, load_domains(["retail"]), per_second=60))


def until_shown(settings: Settings) -> None:
    """The read models are made by their own process, after the API can take commands."""
    until(lambda: number(settings, _MODELS) == 4, 60, "the read models are not there")
