"""The write side: rules decide commands, the log decides what counts, the core folds it into tables.

Read first: `decider` and `retail` (what an author writes), `producer`, `handler` (commands become events), `fold` (the log's
rules), `core` (the fold's tables), then `log`, `reader` and `agents` (how chunks arrive), and `reactors` (commands that follow).
"""

from typing import TYPE_CHECKING, Any

from refold.streams.decider import Decider, Decision, Rejected

if TYPE_CHECKING:
    from refold.streams.producer import Producer

__all__ = ["Decider", "Decision", "Producer", "Rejected"]


def __getattr__(name: str) -> Any:
    """The producer is loaded by who names it: a replay loads this package, and must not be able to send a command."""
    if name == "Producer":
        from refold.streams.producer import Producer

        return Producer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
