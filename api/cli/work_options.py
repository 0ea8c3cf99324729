"""The options of a command that folds the whole log: how much memory it may take, and how many processes take part."""

from typing import Annotated

from cyclopts import Parameter, validators

from refold.api.cli.numbers import whole

MOST_PROCESSES = 64
Processes = Annotated[int, Parameter(converter=whole, validator=validators.Number(gte=1, lte=MOST_PROCESSES))]
