"""The table of records that killed a group's processes, as its guard uses it."""

from collections.abc import Sequence

from refold.streams.chunk import Place
from refold.streams.postgres import set_aside
from refold.streams.postgres.connection import answering, connect_patiently
from refold.streams.postgres.set_aside import Offsets


class Store:
    """The table of records that a role's processes died of."""

    def __init__(self, url: str, group: str) -> None:
        self._url, self._group = url, group

    def load(self) -> Offsets:
        with answering(), connect_patiently(self._url, application_name=f"{self._group}-guard") as db:
            return set_aside.load(db, [self._group])

    def add(self, place: Place, offsets: Sequence[int], reason: str) -> Offsets:
        """Note records for all present and later processes of the role; give all noted records."""
        with answering(), connect_patiently(self._url, application_name=f"{self._group}-guard") as db:
            set_aside.add(db, self._group, place, offsets, reason)
            return set_aside.load(db, [self._group])
