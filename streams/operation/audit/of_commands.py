"""Goes over a partition of commands: each decided one has its outcome, and each outcome its command. Pure."""

from refold.schemas.codec import read_command_envelope
from refold.schemas.errors import Undecodable
from refold.schemas.identity import outcome_key, unreadable_command_uuid
from refold.streams.chunk import Chunk
from refold.streams.operation.audit.ledger import Audit, CommandLedger, Finding

_REACTOR = "reactor:"


class CommandsAudit:
    """One partition of a category's commands. Those before `decided` were decided, all others wait."""

    def __init__(self, audit: Audit, category: str, topic: str, part: int, decided: int, outcomes: set[bytes]) -> None:
        """`outcomes`: the keys of the partition's outcomes; those whose command is found leave the set."""
        self._audit, self._category, self._topic, self._part = audit, category, topic, part
        self._decided, self._outcomes = decided, outcomes
        self._seen: set[bytes] = set()
        self.ledgers: dict[str | None, CommandLedger] = {}

    def add(self, chunk: Chunk) -> None:
        """Take the next records."""
        for offset, value in enumerate(chunk.values, chunk.start):
            self._one(offset, value)

    def end(self) -> None:
        """Report the outcomes whose command is not in the log."""
        for key in sorted(self._outcomes):
            self._find("outcome-without-command", None, f"the outcome with the key {key.hex()}")

    def _one(self, offset: int, value: bytes | None) -> None:
        sender, keys = self._keys(offset, value)
        ledger = self.ledgers.setdefault(sender, CommandLedger(self._topic, self._part, sender))
        ledger.commands += 1
        if (found := next((key for key in keys if key in self._outcomes), None)) is not None:
            ledger.decided += 1
            self._outcomes.remove(found)
            self._seen.add(found)
        elif any(key in self._seen for key in keys):
            ledger.repeats += 1
        elif offset >= self._decided:
            ledger.waiting += 1
        else:
            self._find("command-lost", offset, "decided, and without an outcome")

    def _keys(self, offset: int, value: bytes | None) -> tuple[str | None, list[bytes]]:
        """The sender, and the keys under which its outcome can be: its own, or that of its place if unreadable."""
        of_place = unreadable_command_uuid(self._topic, self._part, offset).bytes
        keys = [outcome_key(self._category, f"~unreadable.{self._part}", of_place)]
        try:
            meta = read_command_envelope(value)
        except Undecodable:
            return None, keys
        return sender_of(meta.actor), [outcome_key(self._category, meta.stream, meta.command_id.bytes), *keys]

    def _find(self, kind: str, offset: int | None, what: str) -> None:
        self._audit.find(Finding(kind, self._topic, self._part, offset, what))


def sender_of(actor: str | None) -> str | None:
    """The sender that an actor names: of a reactor's commands the reactor, without the event that it answers."""
    return actor.partition("/")[0] if actor is not None and actor.startswith(_REACTOR) else actor
