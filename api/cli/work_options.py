"""The options of a command that folds the whole log: how many processes take part, and whether other commands do."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter, validators

from refold.api.cli.numbers import whole

MOST_PROCESSES = 64
Processes = Annotated[int, Parameter(converter=whole, validator=validators.Number(gte=1, lte=MOST_PROCESSES))]


@Parameter(name="*")
@dataclass(frozen=True)
class WorkOptions:
    """The processes and commands that take part in a rebuild.

    Args:
        processes: how many processes read and decode; a single one has work for two cores.
        join: if another command rebuilds these models already, on any machine, do some of its work, and end it if that one dies.
    """

    processes: Processes = 1
    join: bool = False


ONE_PROCESS = WorkOptions()
