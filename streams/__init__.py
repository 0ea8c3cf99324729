"""The write side: rules decide commands, the log decides which records count, the core folds them into tables.

The names below are all that authors and producers need. Read first: `decider` (the contract of an author's rules), then
the rooms in the order in which data flows: `sending`, `handler` (commands become events), `rules` (which records
count), `core` (the fold's tables), `worker` (how chunks arrive), and `reactors` (commands that follow).
docs/glossary.md explains our words.
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
    """Loads the sending modules on first use. A replay loads this package, and must not be able to send a command."""
    if name in _LATER:
        return getattr(import_module(f"refold.streams.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
