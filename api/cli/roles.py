"""The processes of Refold by role, and the start-up of each before its own `main(settings)`."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path

import refold
from refold.api.cli.exits import UNREACHABLE
from refold.api.embedded.servers import connected
from refold.api.http.wire.descriptors import raise_limit
from refold.api.stop_times import grace_s
from refold.schemas.errors import RefoldError
from refold.streams import journal
from refold.streams.errors import BadSettings
from refold.streams.operation.presence import Me, Presence
from refold.streams.operation.running_code import running_code
from refold.streams.refusals import ADMISSION, is_passing
from refold.streams.settings import Settings

MODULES = {
    "handler": "refold.streams.handler.process",
    "core": "refold.streams.core.process",
    "models": "refold.projections.live.process",
    "reactors": "refold.streams.reactors.process",
    "api": "refold.api.console.process",
}
WORKERS = ("handler", "core", "models", "reactors")
ALL = (*WORKERS, "api")
ADMITTED_VARIABLE = "_REFOLD_ADMITTED"
"""Variable that the supervisor sets for a role that ran before: its refusals by Postgres may pass, so it waits."""
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
LAST_PORT = 65535
_log = logging.getLogger(__name__)


def run_role(role: str, settings: Settings, *, supervised: bool = False) -> None:
    """Run one role in this process until it is told to stop."""
    journal.set_up(role, settings)
    if supervised:
        ADMISSION.begin(ran_before=ADMITTED_VARIABLE in os.environ)
        threading.Thread(
            target=_stop_with_parent, args=(grace_s(role, settings.api_drain_s),), name="parent-watch", daemon=True
        ).start()
    if role in WORKERS:  # the API raises it as far as its connections need, and counts them by it
        raise_limit()
    # prometheus-client reads the variable on import, and the role's module imports it.
    share_metrics(settings)
    if role in WORKERS and settings.probe_port is not None:
        from refold.api.http.probes import Probes  # imports prometheus-client, so the folder must be named before

        Probes(role, settings.probe_host, settings.probe_port).start()
    connected_settings = connected(settings)
    try:
        with Presence(connected_settings.dsn(), who(role, settings.domains)):
            import_module(MODULES[role]).main(connected_settings)
    except RefoldError as problem:
        if not is_passing(problem):
            raise
        _log.error("%s: %s %s", problem.code, problem.message, problem.remedy, extra=journal.about(problem))
        raise SystemExit(UNREACHABLE) from problem  # access was granted before and may be again: the supervisor goes on


def share_metrics(settings: Settings) -> None:
    """Tell prometheus-client its folder before it is imported. If the folder fails, metrics stay in this process."""
    os.environ.setdefault(METRICS_VARIABLE, str(metrics_folder(settings)))
    try:
        Path(os.environ[METRICS_VARIABLE]).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _log.warning("metrics are kept in this process alone: %s", error)
        del os.environ[METRICS_VARIABLE]
        return
    import_module("refold.streams.metric_files").install()


def who(role: str, domains: Sequence[str]) -> Me:
    """This process, as `refold status` shows it; logs the code that it runs.

    Raises the errors of loading the domains.
    """
    code = running_code(domains)
    for each in code:
        _log.info(
            "%s %s: domain %s from %s, code %s", role, refold.__version__, each.domain, each.file, each.fingerprint
        )
    return Me(role, code, _writes(domains) if role == "models" else {})


def _writes(domains: Sequence[str]) -> dict[tuple[str, str], str]:
    from refold.projections.tables.declared import declared

    return declared(domains).all_fingerprints


def role_command(role: str) -> list[str]:
    """The command line of a supervised role. `-P` keeps the current folder out of the import path (`domain_path`)."""
    arguments = ["api"] if role == "api" else ["worker", role]
    return [sys.executable, "-P", "-m", "refold.api.cli.app", *arguments, "--supervised"]


def processes(settings: Settings, roles: Iterable[str]) -> tuple[str, ...]:
    """The roles, each repeated for its number of processes."""
    return tuple(role for role in roles for _ in range(settings.handlers if role == "handler" else 1))


def probe_port(settings: Settings, role: str, number: int) -> int | None:
    """The port of the `number`-th process of a role (from 1) under one supervisor. Raises BadSettings."""
    if not settings.probe_port or role not in WORKERS:
        return settings.probe_port
    place = WORKERS.index(role) if number == 1 else len(WORKERS) + number - 2
    if settings.probe_port + place > LAST_PORT:
        raise BadSettings(f"probe_port: {settings.probe_port} leaves no port for {role} ({place} further on)")
    return settings.probe_port + place


def metrics_folder(settings: Settings) -> Path:
    """The folder of metrics that the processes share."""
    return settings.data.absolute() / "metrics"


def _stop_with_parent(grace: float) -> None:
    """Stop once standard input ends. The supervisor holds it open, so its end means that the supervisor is gone."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    journal.leave(1)
