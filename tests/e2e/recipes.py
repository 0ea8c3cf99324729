"""The commands of docs/backup.md, run as an operator runs them: in a shell, with the servers in the environment."""

import os
import re
import subprocess
import sys
from pathlib import Path

from refold.api.embedded.postgres import wheel_binaries
from refold.streams.settings import Settings
from tests.conftest import database_named

PAGE = Path(__file__).parents[2] / "docs" / "backup.md"
_NAMED = re.compile(r"(DATABASE |TO |')refold(?=_restored\b|_old\b|[ ;'])")


def names() -> list[str]:
    """Of all recipes, in the page's order."""
    return re.findall(r"^<!-- recipe: (\S+) -->$", PAGE.read_text(), re.MULTILINE)


def cook(name: str, settings: Settings, admin_url: str, folder: Path) -> str:
    """Run one; what it printed. The page calls the live database `refold`, a test has another name."""
    found = re.search(rf"^<!-- recipe: {name} -->\n```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{PAGE.name} has no recipe {name}"
    database = settings.dsn().rpartition("/")[2]
    script = "set -euo pipefail\n" + _NAMED.sub(rf"\g<1>{database}", found[1])
    more = {
        "PATH": f"{Path(sys.executable).parent}:{wheel_binaries()}:{os.environ['PATH']}",
        "ADMIN_URL": admin_url,
        "RESTORED_URL": database_named(admin_url, f"{database}_restored"),
    }
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, **settings.environment(), **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr
