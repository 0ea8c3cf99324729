"""Reads a text from left to right: names, quoted texts, and the place of what cannot be read."""

import re
from typing import NoReturn

from refold.api.errors import ApiError, Fault
from refold.api.http.wire.parameters import shown

_SPACES = re.compile(r"[ \t\n\r\f\v]*")
_NAME = re.compile(r"[\w $]+(?:-(?!>)[\w $]+)*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Scanner:
    """A text and the place up to which it was read. `kind` is the error for what cannot be read, `of` the parameter that holds the text."""

    def __init__(self, text: str, kind: type[ApiError], of: str) -> None:
        self.text, self.at = text, 0
        self._kind, self._of = kind, of

    def take(self, literal: str) -> bool:
        """Read these characters, if they are next."""
        found = self.text.startswith(literal, self.at)
        self.at += len(literal) if found else 0
        return found

    def expect(self, literal: str, meaning: str) -> None:
        """Read these characters. Raises the scanner's error, with what they would mean, if others are next."""
        if not self.take(literal):
            self.fail(f"`{literal}` {meaning}")

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """Read what a pattern matches here, or None."""
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def spaces(self) -> None:
        """Read spaces."""
        self.match(_SPACES)

    def name(self, what: str) -> str:
        """A name of letters, digits, `_`, `$`, spaces and inner dashes, or any in double quotes. Raises the scanner's error."""
        quoted = self.quoted()
        if quoted is not None:
            return quoted
        found = (self.match(_NAME) or "").strip()
        if not found:
            self.fail(what)
        return found

    def quoted(self) -> str | None:
        """A text in double quotes, in which a backslash stands before a quote or a backslash."""
        found = self.match(_QUOTED)
        return None if found is None else _ESCAPED.sub(r"\1", found[1:-1])

    def element(self, bare: re.Pattern[str]) -> str:
        """A value of a list: in double quotes if `,`, `)` or the end follows them, else as it stands."""
        before = self.at
        quoted = self.quoted()
        if quoted is not None and (self.done() or self.text[self.at] in ",)"):
            return quoted
        self.at = before
        return self.match(bare) or ""

    def next_is(self, literals: str) -> bool:
        """Whether one of these characters is next, or the end."""
        return self.done() or self.text[self.at] in literals

    def done(self) -> bool:
        """Whether the whole text was read."""
        return self.at == len(self.text)

    def end(self) -> None:
        """Raises the scanner's error if text is left."""
        if not self.done():
            self.fail("the end")

    def fail(self, expected: str) -> NoReturn:
        """Raise the scanner's error: where something else was expected, and what stands there."""
        there = f"there is {shown(self.text[self.at :])}" if not self.done() else "the text ends"
        raise misread(self._kind, self._of, f"at character {self.at + 1} {expected} is expected; {there}")


def misread(kind: type[ApiError], of: str, message: str) -> ApiError:
    """The error for a parameter that cannot be read."""
    code = getattr(kind, "code", "")
    return kind(f"{shown(of)[1:-1]}: {message}", Fault(of[:100], code, message))
