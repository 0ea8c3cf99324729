"""Contracts: what commands and events look like, and the bytes they become. Imports nothing else of Refold.

Read first: `contracts` (what an author writes), then `meta`, `avro`, `catalog`, `validate`; then the bytes: `binary`, `record`,
`envelope`, `codec` (one record), and `column_layout`, `columns` (many records) with what they check in `column_…`.
"""

from refold.schemas.contracts import Category, Command, Event, Long, Money, Whole, is_stream_id
from refold.schemas.errors import RefoldError

__all__ = ["Category", "Command", "Event", "Long", "Money", "RefoldError", "Whole", "is_stream_id"]
