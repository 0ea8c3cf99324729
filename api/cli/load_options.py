"""The options that bound what a replay takes from the machine and from live traffic: one declaration for every command."""

from dataclasses import dataclass

from cyclopts import Parameter

from refold.api.cli.output import say
from refold.api.embedded.servers import connected
from refold.projections.replay.command import Replay
from refold.projections.replay.memory import DEFAULT, rows_room
from refold.streams.settings import Settings


@Parameter(name="*")
@dataclass(frozen=True)
class LoadOptions:
    """The bounds of a replay.

    Args:
        memory: most memory that the process may take; beyond it, rows are written before the end.
        throttle: live traffic comes first; the command rests while commands or rows take longer than is usual.
    """

    memory: str = DEFAULT
    throttle: bool = False

    def fits(self, processes: int, *, join: bool = False) -> bool:
        """Whether so many processes, and other commands (`join`), can work within these bounds; says it if not."""
        if join and (self.throttle or processes > 1):
            say("refold: --join divides the work among commands of one process: leave out --processes and --throttle")
            return False
        if self.throttle and processes > 1:
            say("refold: --throttle works in one process: leave out --processes")
            return False
        return True

    def replay(self, processes: int = 1, settings: Settings | None = None) -> Replay:
        """A command within these bounds. Raises BadMemory, before a server is asked, and as Replay."""
        room = rows_room(self.memory)
        return Replay(settings or connected(Settings.load()), room, processes, throttle=self.throttle)


USUAL = LoadOptions()
