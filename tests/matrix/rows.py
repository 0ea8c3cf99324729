"""The rows of the matrix: an entry, what is put into it, and the one answer that it has."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """`expected` is what the entry's door in conftest.py answers: a status, a code, and where known the place."""

    entry: str
    name: str
    given: Any
    expected: str

    @property
    def codes(self) -> list[str]:
        """The words of the answer that the docs must explain."""
        return [word for word in self.expected.split() if word[0].islower() and "." not in word]
