"""Links between read models: columns of one that hold the key of another, as authors declare them, and the checks that one model passes alone."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from refold.projections.declaring.constants import check_texts
from refold.projections.errors import BadDeclaration

_NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")


@dataclass(frozen=True)
class Link:
    """Columns of a read model that hold the key of another one, `to`, in its domain.

    `columns`: one for each column of that key, in its order; a single one may be given as text. `doc`: what the linked row is.
    The other model has the link, too: from its rows to all that name them. `reverse` is the name there, by default the model's that
    declares the link, and `reverse_doc` its text. A link changes no row and no fingerprint.
    """

    to: str
    columns: str | tuple[str, ...]
    doc: str
    reverse: str | None = None
    reverse_doc: str = ""

    @property
    def own(self) -> tuple[str, ...]:
        """The columns, as a tuple."""
        return (self.columns,) if isinstance(self.columns, str) else self.columns


def check_links(model: str, links: Mapping[str, Link], columns: Collection[str]) -> None:
    """Raise BadDeclaration for a link that is wrong whatever the other model is."""
    for name, link in links.items():
        where = f"{model}: the link {name}"
        if not isinstance(link, Link):
            raise BadDeclaration(f"{where} is {link!r:.100}; write Link(to, columns, doc)")
        for word in (name, link.to) if link.reverse is None else (name, link.to, link.reverse):
            if not isinstance(word, str) or not _NAME.fullmatch(word):
                raise BadDeclaration(f"{where}: {word!r:.100} is no name in lower case, at most 51 characters")
        if name in columns:
            raise BadDeclaration(f"{where} has the name of a column: a row can show one of them only")
        unknown = [column for column in link.own if column not in columns]
        if unknown or not link.own or len(set(link.own)) != len(link.own):
            named = f"names {', '.join(map(repr, unknown))}" if unknown else "has no column, or one twice"
            raise BadDeclaration(f"{where} {named}; its columns are some of {', '.join(columns)}")
        check_texts(model, {f"the link {name}": link.doc, f"the way back of the link {name}": link.reverse_doc})
