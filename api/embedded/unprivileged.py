"""Runs Postgres as `nobody` if we are root, which it refuses; only a folder for its data is made for it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from refold.api.embedded.errors import NoPermission
from refold.streams.private_files import write_private

NAME = "nobody"
RECORD = "home.path"
ROOMS = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - /var/tmp is cleaned by age, so it comes second


class Account(NamedTuple):
    """The user that a server runs as."""

    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        """Arguments that make a child process run as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def account_for_postgres() -> Account | None:
    """The account that Postgres needs; None if this user may run it."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        raise NoPermission(
            f"Postgres refuses to run as root and there is no user `{NAME}` to run it as.",
            "Run as an ordinary user, or set REFOLD_DATABASE_URL.",
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def home_for(folder: Path, account: Account | None) -> Path:
    """The folder for the server's files: inside ours if its user can reach it, else elsewhere and recorded in ours."""
    if account is None:
        home = folder / "home"
        home.mkdir(mode=0o700, exist_ok=True)
        return home
    recorded = recorded_home(folder)
    if recorded and recorded.stat().st_uid == account.uid:
        return recorded
    home = _make_home(folder, account)
    write_private(folder / RECORD, home.name if home.parent == folder else str(home))
    return home


def recorded_home(folder: Path) -> Path | None:
    """The folder that was made for the server's user, if it still exists."""
    record = folder / RECORD
    home = folder / (record.read_text(errors="replace") or "nowhere") if record.exists() else None
    return home if home and home.is_dir() else None


def _make_home(folder: Path, account: Account) -> Path:
    room = folder if _can_enter(folder, account) else next((room for room in ROOMS if _can_enter(room, account)), None)
    if room is None:
        raise NoPermission(f"There is no folder that both root and `{NAME}` can reach.")
    home = Path(tempfile.mkdtemp(prefix="refold-postgres-", dir=room))
    os.chown(home, account.uid, account.gid)
    return home


def _can_enter(folder: Path, account: Account) -> bool:
    return _succeeds(["ls", "-d", f"{folder}/."], account)


def binaries_for(binaries: Path, home: Path, account: Account | None) -> Path:
    """The folder of Postgres's programs; a copy if the server's user cannot read the original."""
    if account is None or _succeeds([str(binaries / "postgres"), "-V"], account):
        return binaries
    copied = _copy_programs(binaries, home / "programs")
    if not _succeeds([str(copied / "postgres"), "-V"], account):
        raise NoPermission(
            f"`{NAME}` cannot run Postgres from {binaries} nor from a copy in {home}.",
            "Install Refold where every user can read it, or run as an ordinary user.",
        )
    return copied


def _copy_programs(binaries: Path, target: Path) -> Path:
    """Copy the installation, and the libraries that its run path expects beside the package."""
    installation = binaries.parent
    package = installation.parent
    if not target.exists():
        fresh = target.with_name(target.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(installation, fresh / package.name / installation.name, symlinks=True)
        libraries = package.parent / f"{package.name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        fresh.replace(target)
    return target / package.name / installation.name / binaries.name


def _succeeds(command: list[str], account: Account) -> bool:
    try:
        done = subprocess.run(command, cwd="/", capture_output=True, check=False, **account.popen_arguments())
    except OSError:
        return False
    return done.returncode == 0
