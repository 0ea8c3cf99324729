"""Contracts: commands, events, and their encoding as bytes. Imports no other package of Refold.

Read first: `contracts` (the classes of an author), then `meta`, `avro`, `catalog`, `validate`; then the bytes:
`binary`, `record`, `envelope`, `codec` (one record), and `columns/` (many records). docs/glossary.md explains our
words.
"""

from refold.schemas.contracts import Category, Command, Event, Long, Money, Whole, is_stream_id, publishing
from refold.schemas.errors import RefoldError

__all__ = ["Category", "Command", "Event", "Long", "Money", "RefoldError", "Whole", "is_stream_id", "publishing"]
