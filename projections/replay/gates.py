"""Gates: the changes to what readers see that an operator allows a rebuild.

They are judged before anything is promoted.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from refold.projections.errors import BadGate, NotCompared, RebuildDiffers, RowsLost, UnknownModel
from refold.projections.replay.compare import Compared
from refold.projections.tables.builds import Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.schemas.plurals import counted

_PERCENT = re.compile(r"\d{1,3}(\.\d{1,6})?%")
_WHOLE = Decimal(100)


@dataclass(frozen=True)
class Judged:
    """A build and its comparison. `compared` is None if no table of its declaration stands at its positions."""

    build: Build
    layout: Layout
    serving: Build | None
    compared: Compared | None
    empties: bool
    """Whether readers see rows now and would see none after the promote."""
    damaged: str | None = None
    """The reason why the served table could not be compared: it was dropped, or its columns were changed."""


@dataclass(frozen=True)
class Gates:
    """`accept`: any change. `expected`: (domain, model, column) that may change.

    `most_percent`: share of the served rows.
    """

    accept: bool = False
    expected: frozenset[tuple[str, str, str]] | None = None
    most_percent: Decimal | None = None

    @classmethod
    def read(cls, found: Declared, accept: bool, expect_changes: Sequence[str], max_changed: str | None) -> Self:  # noqa: FBT001 - the command's flag, passed on
        """Read the gates from the command line's flags. Raises BadGate, UnknownModel."""
        expected = {one for text in expect_changes for one in _columns(found, text)}
        return cls(accept, frozenset(expected) if expect_changes else None, _percent(max_changed))

    def judge(self, judged: Judged) -> None:
        """Raise RowsLost, NotCompared or RebuildDiffers if the build may not be promoted."""
        if self.accept:
            return
        name, compared = f"{judged.build.domain}.{judged.build.model}", judged.compared
        if judged.empties:
            raise RowsLost(f"{name}: the served table has rows, the rebuilt one (build {judged.build.number}) has none")
        if judged.damaged is not None:
            raise NotCompared(f"{name}: the served table was altered: {judged.damaged}")
        if compared is None:
            if judged.serving is not None and (self.expected is not None or self.most_percent is not None):
                raise NotCompared(f"{name}: the served table has another declaration, or is at another position")
            return
        fault = self._outside(judged, compared)
        if compared.differing and fault is not None:
            raise RebuildDiffers(
                f"{name}: {compared.differing} of {counted(compared.served, 'rows')} differ ({compared.changed} changed,"
                f" {compared.missing} missing, {compared.extra} extra){fault}",
                judged.build,
                compared,
            )

    def _outside(self, judged: Judged, compared: Compared) -> str | None:
        if self.expected is None and self.most_percent is None:
            return ""
        if self.most_percent is not None:
            share = _WHOLE * compared.differing / max(compared.served, 1)
            if share > self.most_percent:
                return f": more than {self.most_percent}%"
        if self.expected is not None:
            allowed = {
                column for *of, column in self.expected if tuple(of) == (judged.build.domain, judged.build.model)
            }
            others = sorted({*compared.columns} - allowed)
            if others:
                return f": also in {', '.join(others)}"
            if compared.missing or compared.extra:
                return ": also in the set of rows"
        return None


def _columns(found: Declared, text: str) -> list[tuple[str, str, str]]:
    """The columns of `model.column`, `domain.model.column` or a whole model, with the hidden ones that belong to them."""
    for named, column in ((text, None), tuple(text.rpartition(".")[::2])):
        try:
            layout = found.named(str(named))
        except UnknownModel:
            continue
        parts = {part.name: (part.order,) for part in layout.columns} | {one.name: one.parts for one in layout.derived}
        if column is not None and column not in parts:
            raise BadGate(
                f"--expect-changes {text}: {layout.name} has the columns {', '.join(p.name for p in layout.shown)}"
            )
        wanted = list(parts) if column is None else [column, *filter(None, parts[column])]
        return [(layout.model.domain, layout.name, name) for name in wanted]
    raise BadGate(f"--expect-changes {text}: no read model or column of one has that name")


def _percent(text: str | None) -> Decimal | None:
    if text is None:
        return None
    if not _PERCENT.fullmatch(text) or Decimal(text[:-1]) > _WHOLE:
        raise BadGate(f"--max-changed {text}: write a share of the served rows, from 0% to 100%, for example 0.1%")
    return Decimal(text[:-1])
