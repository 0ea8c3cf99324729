"""The command `refold worker`: runs one role, or supervises all of them."""

from typing import Annotated, Literal

from cyclopts import Parameter

from refold.api.cli.exits import DONE
from refold.api.cli.logs import SUPERVISOR, stderr_lines
from refold.api.cli.roles import WORKERS, processes, run_role
from refold.api.cli.signals import finish_undisturbed, interrupt_on_sigterm
from refold.api.embedded.servers import connected
from refold.streams import journal
from refold.streams.settings import Settings

Role = Literal["handler", "core", "models", "reactors"]


def worker(
    role: Role | None = None, /, *, supervised: Annotated[bool, Parameter(show=False, negative=())] = False
) -> int:
    """Run one role in this process, or supervise all of them.

    Args:
        role: the one to run.
        supervised: end when standard input closes.
    """
    settings = Settings.load()
    if role is not None:
        run_role(role, settings, supervised=supervised)
        return DONE
    from refold.api.cli.supervisor import (
        Supervisor,
    )  # imports prometheus-client, which a role may import only once its folder is named

    settings = connected(settings)
    settings.require_servers()
    journal.set_up(SUPERVISOR, settings)
    interrupt_on_sigterm()
    with Supervisor(settings, processes(settings, WORKERS), stderr_lines) as supervisor:
        try:
            code = supervisor.wait() or DONE
        except KeyboardInterrupt:
            code = DONE
        finish_undisturbed()
    return code
