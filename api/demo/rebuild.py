"""Rebuilds one read model from the log, by the command that an operator would use."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from refold.streams.errors import Unreachable
from refold.streams.setting_sources import PREFIX
from refold.streams.settings import Settings

MODEL = "store_daily"
BOUND_S = 3600


@dataclass(frozen=True)
class Rebuild:
    """The result of the rebuild; `compared`: rows of the new table that were compared with the old one's."""

    events: int
    seconds: float
    compared: int
    differing: int

    @property
    def events_per_s(self) -> int:
        """Events per second, from the first record to the promoted view."""
        return round(self.events / self.seconds) if self.seconds else 0


def rebuild(settings: Settings) -> Rebuild:
    """Run `refold replay rebuild store_daily --execute`. Raises Unreachable if it fails."""
    command = [sys.executable, "-P", "-m", "refold.api.cli.app", "replay", "rebuild", MODEL, "--execute", "--json"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    done = subprocess.run(
        command, env=inherited | settings.environment(), stdout=subprocess.PIPE, text=True, check=False, timeout=BOUND_S
    )
    if done.returncode != 0:
        raise Unreachable(f"`refold replay rebuild` ended with exit code {done.returncode}.", "Its words are above.")
    report = json.loads(done.stdout)
    model = report["models"][0]
    return Rebuild(report["events"], report["seconds"], model["compared"] or 0, model["differing"] or 0)
