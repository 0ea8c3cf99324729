"""A sample of streams: the same ones in each process, in each run and in Postgres, since a digest of their ids decides."""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import sha256
from math import ceil, floor, sqrt

import polars as pl
from psycopg import sql

from refold.projections.errors import BadSample
from refold.projections.partials.batch import Counted
from refold.schemas.columns import envelope as m

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
        return sha256(stream.encode()).digest()[:_BYTES] < self._bound

    def of(self, counted: Counted) -> Counted:
        """Only the events of its streams."""
        return replace(counted, frames={kind: self._only(frame) for kind, frame in counted.frames.items()})

    def condition(self, column: sql.Composable) -> sql.Composed:
        """`holds` in SQL, for a column of streams' ids."""
        digest = sql.SQL("substring(sha256(convert_to({}, 'UTF8')) for {})").format(column, sql.Literal(_BYTES))
        return sql.SQL("{} < {}").format(digest, sql.Literal(self._bound))

    @property
    def _bound(self) -> bytes:
        """Digests below it are in the sample. That of 100% is longer than any digest, so all are below it."""
        most = 256**_BYTES
        at = int(self.percent * most) // _WHOLE
        return at.to_bytes(_BYTES) if at < most else b"\xff" * (_BYTES + 1)

    def _only(self, frame: pl.DataFrame) -> pl.DataFrame:
        chosen = [stream for stream in frame[m.STREAM].unique() if self.holds(stream)]
        return frame.filter(pl.col(m.STREAM).is_in(chosen))


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
