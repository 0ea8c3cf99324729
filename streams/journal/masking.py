"""Masks passwords in lines: those of the settings, and whatever looks like one in an address."""

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

from psycopg import OperationalError, pq

MASK = "**********"
_IN_URL = re.compile(r"(://[^\s:/@'\"]{0,200}:)[^\s'\"]{1,500}(@)")
_NAMED = re.compile(
    r"(?i)((?:password|passwd|pgpass|secret|token)[a-z_]*['\"]?\s*[=:]\s*)('(?:[^'\\]|\\.){0,500}'|\"(?:[^\"\\]|\\.){0,500}\"|[^\s,;&'\")]{1,500})"
)
_LEAST = 8
"""Least length, in characters, of a password masked everywhere. A shorter one is masked only in addresses."""


class Masking:
    """Masks the passwords of given addresses, and those in anything that looks like an address."""

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        """`addresses`: the databases' addresses in the settings."""
        passwords = {password for address in addresses for password in _passwords(address)}
        written = {form for each in passwords for form in (each, quote(each, safe=""), unquote(each))}
        self._known = sorted((form for form in written if len(form) >= _LEAST), key=len, reverse=True)

    def masked(self, text: str) -> str:
        """The text without passwords."""
        for known in self._known:
            text = text.replace(known, MASK)
        if "://" in text:
            text = _IN_URL.sub(rf"\1{MASK}\2", text)
        return _NAMED.sub(rf"\1{MASK}", text)


def _passwords(address: str) -> set[str]:
    try:
        parts = pq.Conninfo.parse(address.encode())
    except OperationalError:
        return set()
    others = {part.val for part in parts if part.val and b"password" not in part.keyword}
    return {part.val.decode() for part in parts if part.val and b"password" in part.keyword and part.val not in others}
