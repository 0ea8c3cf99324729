"""Contracts: what commands and events look like, and the bytes they become. Imports nothing else of Refold.

Read first: `contracts` (what an author writes), then `meta`, `avro`, `catalog`, `validate`; then the bytes: `binary`, `record`,
`envelope`, `codec` (one record), and `columns/` (many records). Words of ours are in docs/glossary.md.
"""

from refold.schemas.contracts import Category, Command, Event, Long, Money, Whole, is_stream_id
from refold.schemas.errors import RefoldError

__all__ = ["Category", "Command", "Event", "Long", "Money", "RefoldError", "Whole", "is_stream_id"]
