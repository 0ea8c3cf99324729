"""A sample of streams: the same ones in each process, in each run and in Postgres, since a digest of their ids decides."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from hashlib import sha256
from math import ceil, floor, sqrt

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from refold.projections.errors import BadSample
from refold.schemas.columns.binary_column import runs_of

_PERCENT = re.compile(r"\d{1,3}(\.\d{1,6})?%", re.ASCII)
_WHOLE = 100
_BYTES = 8
"""Of the digest, which decide."""
_SIGMAS = 1.96
"""Of an interval that holds the right number in 95 of 100 samples."""


@dataclass(frozen=True)
class Sample:
    """Each stream is in it with the probability `percent` / 100."""

    percent: Decimal

    @classmethod
    def read(cls, text: str) -> "Sample":
        """The sample of a text such as `10%`. Raises BadSample."""
        if not _PERCENT.fullmatch(text) or not 0 < Decimal(text[:-1]) <= _WHOLE:
            raise BadSample(f"--sample {text}: write a share of the streams, above 0% and up to 100%, for example 10%")
        return cls(Decimal(text[:-1]))

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return float(self.percent / _WHOLE)

    def holds(self, stream: str) -> bool:
        """Whether a stream is in it."""
        return self._has(stream.encode())

    def of(self, keys: Iterable[Sequence[bytes | None]]) -> NDArray[np.bool_]:
        """Whether each record is of its streams, by the keys of some runs of records: a record that counts has its stream as key."""
        known: dict[bytes | None, bool] = {}
        found = [np.empty(0, np.bool_)]
        for held in keys:
            runs, lengths = runs_of(held)
            for key in runs:
                if key not in known:
                    known[key] = key is not None and self._has(key)
            found.append(np.repeat(np.fromiter(map(known.__getitem__, runs), np.bool_, len(runs)), lengths))
        return np.concatenate(found)

    def condition(self, column: sql.Composable) -> sql.Composed:
        """`holds` in SQL, for a column of streams' ids."""
        digest = sql.SQL("substring(sha256(convert_to({}, 'UTF8')) for {})").format(column, sql.Literal(_BYTES))
        return sql.SQL("{} < {}").format(digest, sql.Literal(self._bound))

    @cached_property
    def _bound(self) -> bytes:
        """Digests below it are in the sample. That of 100% is longer than any digest, so all are below it."""
        most = 256**_BYTES
        at = int(self.percent * most) // _WHOLE
        return at.to_bytes(_BYTES) if at < most else b"\xff" * (_BYTES + 1)

    def _has(self, stream: bytes) -> bool:
        return sha256(stream).digest()[:_BYTES] < self._bound


@dataclass(frozen=True)
class Estimate:
    """How many rows differ in the whole table: the likeliest number, and the bounds that hold it in 95 of 100 samples."""

    differing: int
    low: int
    high: int


def estimated(differing: int, compared: int, whole: int, sample: Sample) -> Estimate:
    """From a sample's rows. `compared`: rows of it, of which some differ; `whole`: rows of the whole table, about.

    Wilson's interval, narrowed as far as the sample is the whole: it never says that no row differs because none was met.
    """
    if not compared:
        return Estimate(0, 0, whole)
    share, spread = differing / compared, _SIGMAS**2 / compared
    middle = (share + spread / 2) / (1 + spread)
    half = _SIGMAS * sqrt(share * (1 - share) / compared + spread / (4 * compared)) / (1 + spread)
    left = sqrt(1 - sample.share)
    low, high = share - (share - (middle - half)) * left, share + (middle + half - share) * left
    likely = round(share * whole)
    return Estimate(likely, min(max(floor(low * whole), differing), likely), max(ceil(high * whole), likely))
