"""Errors of the read side, each with a stable code (docs/errors.md lists them).

RefoldError
├── BadDeclaration       bad-declaration: an invalid read model
├── UnknownModel         unknown-model: no read model has that name
├── StillDeclared        still-declared: living processes declare the model or view to be dropped
├── RebuildRunning       rebuild-running: another process rebuilds the model
├── NothingFolded        nothing-folded: the tables stand at the log's beginning
├── CannotJoin           cannot-join: the build did not reach the live tables in time
├── CannotPromote        cannot-promote: the view cannot be re-pointed
├── RebuildDiffers       rebuild-differs: the rebuilt table is not the live one
├── RowsLost             rows-lost: a rebuild would leave a read model without rows
├── NotCompared          not-compared: the served table cannot be compared with the rebuilt one
├── BadGate              gate-invalid: a gate names an unknown column or an invalid share
├── ViewInvalid          view-invalid: Postgres refuses a declared view
├── NotParked            not-parked: no such stream is parked
├── RebuildUnfinished    rebuild-unfinished: an unfinished build has passed over the stream
├── ModelFailed          model-failed: one model cannot be written
├── SumOverflow          sum-overflow: a sum has more digits than its column
└── EventFailed          event-failed: one model's Python cannot fold one event
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from refold.schemas.errors import RefoldError

if TYPE_CHECKING:
    from refold.projections.replay.compare import Compared
    from refold.projections.tables.builds import Build


class BadDeclaration(RefoldError):
    """An invalid read model; the message names the model and the fault."""

    code = "bad-declaration"
    remedy = "Correct the declaration; docs/projections.md shows each part of one."


class UnknownModel(RefoldError):
    """No read model has that name."""

    code = "unknown-model"
    remedy = "Name one of the declared read models, or use --all."


class StillDeclared(RefoldError):
    """Living processes still declare the read model or view that was to be dropped."""

    code = "still-declared"
    remedy = "Stop the processes that the message names, or wait until they are of this code."


class RebuildRunning(RefoldError):
    """Another process rebuilds the model."""

    code = "rebuild-running"
    remedy = "Wait for it to end; a killed rebuild gives its place free by itself."


class NothingFolded(RefoldError):
    """The live tables stand at the beginning of the log, so a single model has nothing to join."""

    code = "nothing-folded"
    remedy = "Start the workers, or fill the whole database with `refold replay rebuild --all --execute`."


class CannotJoin(RefoldError):
    """The build did not reach the live tables in time; what it has folded is kept."""

    code = "cannot-join"
    remedy = "Run the same command again: it goes on from where it stands."


class CannotPromote(RefoldError):
    """The view of a model cannot be pointed at its new table."""

    code = "cannot-promote"
    remedy = "Run the same command again, once nobody holds the view for long; nothing has changed."


class RebuildDiffers(RefoldError):
    """At the same positions the rebuilt table and the live one have different rows; the live one goes on serving."""

    code = "rebuild-differs"
    remedy = "The rows are named above. Was the live one changed by hand, `--accept` promotes what the log says; else report a bug."

    def __init__(self, message: str, build: "Build", compared: "Compared") -> None:
        """Keep what was compared, with the rows that differ."""
        super().__init__(message)
        self.build, self.compared = build, compared


class RowsLost(RefoldError):
    """Readers see rows of the model now and would see none after the rebuild; the live table goes on serving."""

    code = "rows-lost"
    remedy = "Was a category renamed, or is its code not installed? `refold schemas log-check` says. `--accept` promotes it empty."


class NotCompared(RefoldError):
    """The served table cannot be compared: altered or dropped by hand, or gates are set and its declaration differs."""

    code = "not-compared"
    remedy = "Promote what the log says with `--accept`; where only gates ask for the comparison, leave them out."


class BadGate(RefoldError):
    """`--expect-changes` names no column of a read model, or `--max-changed` no share."""

    code = "gate-invalid"
    remedy = "Write for example `--expect-changes store_daily.revenue --max-changed 0.1%`."


class ViewInvalid(RefoldError):
    """Postgres refuses a declared view, or the view reads a model that it does not name; everything else goes on."""

    code = "view-invalid"
    remedy = "Correct its declaration, and start the models worker again."


class NotParked(RefoldError):
    """No parked stream has that category and name."""

    code = "not-parked"
    remedy = "`refold status` lists the parked streams."


class RebuildUnfinished(RefoldError):
    """An unfinished rebuild has passed over the stream; its table would lack the waiting events."""

    code = "rebuild-unfinished"
    remedy = "Finish it first: run the same `refold replay rebuild` again."


class ModelFailed(RefoldError):
    """One model cannot be written; the others can."""

    code = "model-failed"
    remedy = "Correct its declaration and rebuild it; the other models are not touched by it."

    def __init__(self, build: int, message: str, code: str = code) -> None:
        super().__init__(message)
        self.build, self.code = build, code


class SumOverflow(RefoldError):
    """A row's sum has more digits than its column holds; nothing wrong is written."""

    code = "sum-overflow"
    remedy = "Sum a field of fewer digits, or fewer events a row (another key, a condition), and rebuild the model."

    @classmethod
    def of(cls, model: str, columns: Sequence[str]) -> "SumOverflow":
        """The sum of one of these columns."""
        which = columns[0] if len(columns) == 1 else f"one of {', '.join(columns)}"
        return cls(f"{model}: the sum of a row has more than 38 digits, which {which} cannot hold")


class EventFailed(RefoldError):
    """One model's `evolve` failed on the event at `row` of the batch, or returned a value that a column cannot hold."""

    code = "event-failed"

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row
