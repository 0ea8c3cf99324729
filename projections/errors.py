"""Errors of the read side, each with a stable code (docs/errors.md lists them).

RefoldError
├── BadDeclaration       bad-declaration: an invalid read model
├── UnknownModel         unknown-model: no read model has that name
├── StillDeclared        still-declared: living processes declare the model or view to be dropped
├── RebuildRunning       rebuild-running: another command works on the model's builds
├── BuildMissing         build-missing: the model has no build of that state
├── BuildOfOtherCode     build-of-other-code: the build is of another declaration
├── BuildBehind          build-behind: the build's rows are older than the live ones
├── BuildInUse           build-in-use: somebody reads the build or snapshot that is to be dropped
├── SnapshotInvalid      snapshot-invalid: a name, time, position or age that cannot be read
├── SnapshotExists       snapshot-exists: the name is taken
├── MomentOpen           moment-open: more records may come before the moment, or are not folded yet
├── NothingFolded        nothing-folded: the tables stand at the log's beginning
├── CannotJoin           cannot-join: the build did not reach the live tables in time
├── CannotPromote        cannot-promote: the view cannot be re-pointed
├── CannotRepair         cannot-repair: the rows cannot be made those of the log one by one
├── RebuildDiffers       rebuild-differs: the rebuilt table is not the live one
├── RowsLost             rows-lost: a rebuild would leave a read model without rows
├── NotCompared          not-compared: the served table cannot be compared with the rebuilt one
├── BadGate              gate-invalid: a gate names an unknown column or an invalid share
├── BadSample            sample-invalid: a sample that is no share of the streams
├── BadMemory            memory-invalid: a bound of memory that cannot be read or kept
├── ViewInvalid          view-invalid: Postgres refuses a declared view
├── NotParked            not-parked: no such stream is parked
├── RebuildUnfinished    rebuild-unfinished: an unfinished build has passed over the stream
├── ModelFailed          model-failed: one model cannot be written
├── SumOverflow          sum-overflow: a sum has more digits than its column
├── EventFailed          event-failed: one model's Python cannot fold one event
├── KeyUnfit             key-unfit: a value that a key column cannot hold
└── DeclarationDiffers   declaration-differs: the table that serves is of another declaration
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from refold.schemas.errors import RefoldError

if TYPE_CHECKING:
    from refold.projections.replay.compare import Compared
    from refold.projections.tables.builds import Build


class BadDeclaration(RefoldError):
    """A read model's declaration is invalid; the message names the model and the fault."""

    code = "bad-declaration"
    remedy = "Correct the declaration; docs/projections.md shows each part of one."


class UnknownModel(RefoldError):
    """No read model has that name."""

    code = "unknown-model"
    remedy = "Name one of the declared read models, or use --all."


class StillDeclared(RefoldError):
    """Running processes still declare the read model or view that you want to drop."""

    code = "still-declared"
    remedy = "Stop the processes that the message names, or wait until they run this code."


class RebuildRunning(RefoldError):
    """Another command works on the model's builds: it rebuilds, verifies, promotes, rolls back or prunes."""

    code = "rebuild-running"
    remedy = "Wait until it ends. If it is a rebuild, `--join` does some of its work. A killed command does not block the next one."


class BuildMissing(RefoldError):
    """The model has no build of the state that the command needs: no shadow to promote, or no retired one to go back to."""

    code = "build-missing"
    remedy = "`refold replay builds` lists the builds. `refold replay rebuild NAME` makes one, and keeps the one before as retired."


class BuildOfOtherCode(RefoldError):
    """The build is of another declaration than this code has, so this code can neither write nor show it."""

    code = "build-of-other-code"
    remedy = "Run the command with the code that declares it (docs/deploys.md), or rebuild the model with this code."


class BuildBehind(RefoldError):
    """The build's rows are older than the live ones: nobody keeps it up to date, or it failed. Readers go on as before."""

    code = "build-behind"
    remedy = "Run a models worker of the build's code until `refold replay builds` shows it as not behind, and run the command again. If the build failed, rebuild the model."

    def __init__(self, message: str, *, follows: bool) -> None:
        """`follows`: a process may be catching up with it."""
        super().__init__(message)
        self.follows = follows


class BuildInUse(RefoldError):
    """Views of your own, or a long query, read the table of a build or snapshot that is to be dropped. The table is kept."""

    code = "build-in-use"
    remedy = "Drop the views that the message names, or wait until the query ends, and run the same command again."


class SnapshotInvalid(RefoldError):
    """A snapshot's name, time, position or age cannot be read, or no snapshot has the name."""

    code = "snapshot-invalid"
    remedy = "`refold replay as-of --help` shows each; `refold replay snapshots list` lists the snapshots."


class SnapshotExists(RefoldError):
    """The snapshot's name is taken. A snapshot never changes, and all its models are of one moment."""

    code = "snapshot-exists"
    remedy = "Choose another name, or drop the old one: `refold replay snapshots drop NAME --execute`. Readers may have kept its answers."


class MomentOpen(RefoldError):
    """More records may still come before the moment, or live tables have not folded all that lies before it."""

    code = "moment-open"
    remedy = "Choose an earlier moment, or try again once the live tables are past it (`refold status`)."


class NothingFolded(RefoldError):
    """The live tables are still at the beginning of the log, so a single model cannot join them."""

    code = "nothing-folded"
    remedy = "Start the workers, or fill the whole database with `refold replay rebuild --all --execute`."


class CannotJoin(RefoldError):
    """The build did not catch up with the live tables in time. Refold keeps its rows."""

    code = "cannot-join"
    remedy = "Run the same command again: it continues from there."


class CannotPromote(RefoldError):
    """The view of a model could not be switched to its new table, because others hold the view. Nothing has changed."""

    code = "cannot-promote"
    remedy = "Run the same command again when no long query reads the view."


class CannotRepair(RefoldError):
    """Refold cannot repair single rows of the live table: it is set apart, this code cannot read what its rows hold, or somebody writes them by hand. Nothing has changed."""

    code = "cannot-repair"
    remedy = "If the message names an event, use code that can read it. Else run the same command again, or rebuild the model: `refold replay rebuild NAME --execute`."


class RebuildDiffers(RefoldError):
    """The rebuilt table and the live one have different rows at the same positions. The live one still serves."""

    code = "rebuild-differs"
    remedy = "The rows are named above. If somebody changed the live table by hand, show the rebuilt one, which is kept: `refold replay promote NAME --accept --execute`; otherwise report a bug."

    def __init__(self, message: str, build: "Build", compared: "Compared") -> None:
        """Keep what was compared, with the rows that differ."""
        super().__init__(message)
        self.build, self.compared = build, compared


class RowsLost(RefoldError):
    """The model has rows now and would have none after the rebuild. The live table still serves."""

    code = "rows-lost"
    remedy = "Check whether a category was renamed or its code is missing: `refold schemas log-check` says. To promote the empty table, use `--accept`."


class NotCompared(RefoldError):
    """The served table cannot be compared with the rebuilt one: somebody altered or dropped it, or a gate is set and its declaration differs."""

    code = "not-compared"
    remedy = "Promote the rebuilt table with `--accept`. If you set gates, leaving them out may suffice."


class BadSample(RefoldError):
    """`--sample` is not a share of the streams."""

    code = "sample-invalid"
    remedy = "Write for example `--sample 10%`."


class BadGate(RefoldError):
    """`--expect-changes` does not name a read model's column, or `--max-changed` is not a share."""

    code = "gate-invalid"
    remedy = "Write for example `--expect-changes store_daily.revenue --max-changed 0.1%`."


class BadMemory(RefoldError):
    """`--memory` is not a whole number with MB, GB, MiB or GiB, or is less than a replay takes."""

    code = "memory-invalid"
    remedy = "Write for example `--memory 2GB`. The default is 1GB, the least 800MB."


class ViewInvalid(RefoldError):
    """Postgres refuses a declared view, or the view reads a model that it does not name. Everything else goes on."""

    code = "view-invalid"
    remedy = "Correct its declaration, and start the models worker again."


class NotParked(RefoldError):
    """No parked stream has that category and name."""

    code = "not-parked"
    remedy = "`refold status` lists the parked streams."


class RebuildUnfinished(RefoldError):
    """An unfinished rebuild has skipped the stream; its table would lack the waiting events."""

    code = "rebuild-unfinished"
    remedy = "Finish it first: run the same `refold replay rebuild` again."


class ModelFailed(RefoldError):
    """Refold cannot write the rows of one model; the other models go on."""

    code = "model-failed"
    remedy = "Correct its declaration and rebuild the model."

    def __init__(self, build: int, message: str, code: str = code) -> None:
        super().__init__(message)
        self.build, self.code = build, code


class SumOverflow(RefoldError):
    """A row's sum has more digits than its column holds. Refold did not write it."""

    code = "sum-overflow"
    remedy = "Sum a field of fewer digits, or fewer events a row (another key, a condition), and rebuild the model."

    @classmethod
    def of(cls, model: str, columns: Sequence[str]) -> "SumOverflow":
        """The sum of one of these columns."""
        which = columns[0] if len(columns) == 1 else f"one of {', '.join(columns)}"
        return cls(f"{model}: the sum of a row has more than 38 digits, which {which} cannot hold")


class EventFailed(RefoldError):
    """A model's `evolve` failed on the event at `row` of the batch, or returned a value that a column cannot hold."""

    code = "event-failed"

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


class KeyUnfit(RefoldError):
    """A value of a row's key does not fit its column."""

    code = "key-unfit"
    remedy = "Write each value as an answer prints it; GET /v1/{domain} lists the key's columns with their types."


class DeclarationDiffers(RefoldError):
    """The table that serves a read model is not of this code's declaration, so this code cannot explain its rows."""

    code = "declaration-differs"
    remedy = "Ask a process of that code, or rebuild the model with this one: `refold replay rebuild NAME --execute`."
