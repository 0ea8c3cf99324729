"""The options by which an operator allows a promote to change what readers see: one declaration for every command."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from refold.projections.replay.gates import Gates
from refold.projections.tables.declared import Declared


@Parameter(name="*")
@dataclass(frozen=True)
class GateOptions:
    """The gates as the command line names them.

    Args:
        accept: promote the rebuilt table, even if rows differ.
        expect_changes: a column that may change, as `store_daily.revenue`, or a model; repeat it for several.
        max_changed: the share of the served rows that may differ, as `0.1%`.
    """

    accept: bool = False
    expect_changes: Annotated[Sequence[str] | None, Parameter(negative=())] = None
    max_changed: str | None = None

    def read(self, found: Declared) -> Gates:
        """The gates for some declarations. Raises BadGate, UnknownModel."""
        return Gates.read(found, self.accept, self.expect_changes or (), self.max_changed)


NO_GATES = GateOptions()
