"""What a handler reads of the tables: everything for one batch of decisions from ONE snapshot."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from refold.streams import core_store
from refold.streams.effects import StoredStream
from refold.streams.fold import ClaimState
from refold.streams.postgres import Database


@dataclass(frozen=True)
class Snapshot:
    """A partition's row, and of the asked outcomes and streams those that exist; all of the same moment."""

    row: ClaimState | None
    outcomes: set[bytes]
    streams: dict[str, StoredStream]


def snapshot(db: Database, category: str, part: int, keys: Sequence[bytes], streams: Iterable[str]) -> Snapshot:
    """Read in one REPEATABLE READ transaction: guard and data in two reads would decide on a state that never was."""
    with db.transaction():
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        claims = core_store.read_claims(db, [(category, part)])
        outcomes = core_store.known_keys(db, keys)
        found = core_store.read_streams(db, category, pl.Series(list(streams), dtype=pl.String))
    claim = claims.get((category, part))
    return Snapshot(claim.state if claim else None, outcomes, found)
