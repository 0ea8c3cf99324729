"""What holds a replay back between two steps of its work: nothing, unless a throttle does."""

from typing import Protocol

from refold.streams.postgres.connection import Database


class Holding(Protocol):
    """What holds a replay back between two steps of its work, if anything does."""

    batch_records: int | None
    """Records of a batch; None for as many as is fastest."""
    slice_rows: int | None
    """Rows that are sent to Postgres at once; None for as many as is fastest."""
    held_s: float
    """Seconds of rest so far."""

    @property
    def says(self) -> str:
        """Why it is held back now; empty if it is not."""
        ...

    def begin(self, *databases: Database) -> None:
        """Begin to look; `databases`: connections of the replay."""
        ...

    def rest(self) -> None:
        """Rest as long as is due after the work since the thread's last rest."""
        ...


class Unheld:
    """Holds nothing back."""

    batch_records: int | None = None
    slice_rows: int | None = None
    held_s = 0.0
    says = ""

    def begin(self, *databases: Database) -> None:
        """Nothing."""

    def rest(self) -> None:
        """Nothing."""


UNHELD: Holding = Unheld()
