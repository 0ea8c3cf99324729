"""The write side: rules decide commands, the log decides what counts, the core folds it into tables.

Read first: `decider` and `retail` (what an author writes), `producer`, `handler` (commands become events), `fold` (the log's
rules), `core` (the fold's tables), then `log`, `reader` and `agents` (how chunks arrive).
"""

from refold.streams.decider import Decider, Decision, Rejected
from refold.streams.producer import Producer

__all__ = ["Decider", "Decision", "Producer", "Rejected"]
