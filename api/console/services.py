"""What the console is made of: the services that the API's own routes have, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass

from refold.api.http.describe.seen import Seen
from refold.api.http.describe.services import OperationServices
from refold.api.http.reads.services import ModelServices


@dataclass(frozen=True)
class ConsoleServices:
    """Services for pages. `seen`: the last look at lag, processes and standstills."""

    models: ModelServices
    operations: OperationServices
    seen: Callable[[], Seen]
