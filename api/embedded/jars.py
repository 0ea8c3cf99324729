"""Kafka's jars: fetched once into the user's cache, checked against the committed SHA-256 list, then used offline."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from refold.api.embedded.errors import DownloadFailed, ExtraMissing, NoPermission

VERSION = "4.3.1"
# One `sha256  group:artifact:version` a line: jgo's resolution of kafka_2.13, and the binding that lets Kafka log.
SHA_LIST = f"kafka-{VERSION}.sha256"
PARALLEL = 6

Report = Callable[[str], None]


class Jar(NamedTuple):
    """One file of the list."""

    sha256: str
    group: str
    artifact: str
    version: str

    @property
    def filename(self) -> str:
        """The jar's name in Maven."""
        return f"{self.artifact}-{self.version}.jar"


def listed_jars() -> list[Jar]:
    """The committed list."""
    lines = resources.files(__package__).joinpath(SHA_LIST).read_text().splitlines()
    return [Jar(sha, *coordinates.split(":")) for sha, coordinates in (line.split() for line in lines)]


def cache_folder() -> Path:
    """The folder of the jars: in the user's cache, never in the project."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "refold" / f"kafka-{VERSION}"


def kafka_classpath(report: Report) -> str:
    """Paths of all jars, verified; missing ones are fetched first."""
    folder, jars = cache_folder(), listed_jars()
    if missing_from(folder, jars):
        fetch_missing(folder, jars, report)
    return ":".join(str(folder / jar.filename) for jar in jars)


def missing_from(folder: Path, jars: list[Jar]) -> list[Jar]:
    """The jars that are missing or differ from the list."""
    return [jar for jar in jars if not is_intact(folder / jar.filename, jar.sha256)]


def is_intact(path: Path, sha256: str) -> bool:
    """Whether the file exists with this content."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def fetch_missing(folder: Path, jars: list[Jar], report: Report) -> None:
    """Fetch missing jars; a second process that wants the same waits for the first."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise NoPermission(
            f"The folder for Kafka's jars, {folder}, cannot be written ({error.strerror}).",
            "Set XDG_CACHE_HOME to a folder that you may write.",
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _fetch(folder, jars, report)


def _fetch(folder: Path, jars: list[Jar], report: Report) -> None:
    missing = missing_from(folder, jars)
    here = len(jars) - len(missing)
    if not missing:
        return
    report(f"fetching Kafka {VERSION}: {len(missing)} jars, once, into {folder}")
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    context = _maven(partial)
    try:
        with ThreadPoolExecutor(PARALLEL) as pool:
            arriving = [pool.submit(_fetch_one, context, jar, folder) for jar in missing]
            for done, arrived in enumerate(as_completed(arriving), start=here + 1):
                arrived.result()
                if done % 5 == 0 or done == len(jars):
                    report(f"fetching Kafka {VERSION}: {done} of {len(jars)} jars")
    except DownloadFailed:
        raise
    except Exception as error:
        raise DownloadFailed(f"Kafka's jars could not be fetched: {_first_line(error)}.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _maven(partial: Path) -> Any:
    try:
        from jgo.maven import MavenContext, PythonResolver
    except ImportError:
        raise ExtraMissing("The embedded Kafka needs the package jgo.") from None
    return MavenContext(resolver=PythonResolver(), repo_cache=partial)


def _fetch_one(context: Any, jar: Jar, folder: Path) -> None:
    fetched = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    if not is_intact(fetched, jar.sha256):
        raise DownloadFailed(f"{jar.filename} arrived with another SHA-256 than the committed list says.")
    fetched.replace(folder / jar.filename)


def _first_line(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:200]
