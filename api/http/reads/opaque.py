"""Bytes as the text of a cursor: letters, digits, `-` and `_`, which no client has to quote in a query string."""

import base64


def opaque(body: bytes) -> str:
    """The bytes as text."""
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def revealed(text: str) -> bytes:
    """The bytes of a text. Raises ValueError for any other text."""
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
