"""Caches states of streams that were folded again, by version, within a limit of bytes."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

Name = tuple[str, str, str]
"""Category, stream, and the fingerprint of the code that folded it."""


@dataclass(frozen=True, slots=True)
class _Kept:
    version: int
    state: Any
    size: int


class StateCache:
    """Keeps the states used last. A state's size is that of its bytes in the tables."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self.size = most_bytes, 0
        self._kept: OrderedDict[Name, _Kept] = OrderedDict()

    def get(self, name: Name, upto: int) -> tuple[int, Any] | None:
        """Version and state of the stream, if one up to that version is kept."""
        found = self._kept.get(name)
        if found is None or found.version > upto:
            return None
        self._kept.move_to_end(name)
        return found.version, found.state

    def put(self, name: Name, version: int, state: Any, size: int) -> None:
        """Keep a state, replacing an older one of the stream. One larger than the limit is not kept."""
        old = self._kept.get(name)
        if (old is not None and old.version > version) or size > self._most:
            return
        if old is not None:
            self.size -= old.size
        self._kept[name] = _Kept(version, state, size)
        self._kept.move_to_end(name)
        self.size += size
        while self.size > self._most:
            _, oldest = self._kept.popitem(last=False)
            self.size -= oldest.size
