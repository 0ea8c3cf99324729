"""Contracts: what commands and events look like, and the bytes they become. Imports nothing else of Refold.

Read first: `contracts` (what an author writes), then `meta`, `avro`, `catalog`, `codec` (one record), `columns` (many records).
"""

from refold.schemas.contracts import Category, Command, Event, Long, Money, Whole

__all__ = ["Category", "Command", "Event", "Long", "Money", "Whole"]
