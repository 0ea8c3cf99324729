"""The write side: rules decide commands, the log decides what counts, the core folds it into tables.

The names below are all that authors and producers need. Read first: `decider` (what an author writes), then the rooms in the order in
which data flows: `sending`, `handler` (commands become events), `rules` (what counts), `core` (the fold's tables), `worker` (how chunks
arrive), and `reactors` (commands that follow). Words of ours are in docs/glossary.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from refold.streams.decider import Decider, Decision, Rejected

if TYPE_CHECKING:
    from refold.streams.domain import Domains, load_domains
    from refold.streams.errors import CommandTooLarge, DeliveryFailed, QueueFull
    from refold.streams.sending.producer import Producer

__all__ = [
    "CommandTooLarge",
    "Decider",
    "Decision",
    "DeliveryFailed",
    "Domains",
    "Producer",
    "QueueFull",
    "Rejected",
    "load_domains",
]

_LATER = {
    "Producer": "sending.producer",
    "Domains": "domain",
    "load_domains": "domain",
    "CommandTooLarge": "errors",
    "DeliveryFailed": "errors",
    "QueueFull": "errors",
}


def __getattr__(name: str) -> Any:
    """What sends is loaded by whoever names it: a replay loads this package, and must not be able to send a command."""
    if name in _LATER:
        return getattr(import_module(f"refold.streams.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
