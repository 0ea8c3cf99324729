"""Parse: everything of a request that decides its answer, as one value."""

from collections.abc import Hashable, Iterable, Mapping, MutableMapping
from typing import NamedTuple

from refold.api.http.downloads.formats import files
from refold.api.http.reads.language.preferences import Preferences, read_preferences
from refold.api.http.reads.language.query_string import read_query
from refold.api.http.reads.language.ranges import read_rows
from refold.api.http.reads.planning.plan import Plan, Wanted, plan_query
from refold.api.http.reads.planning.resources import Models, check_name
from refold.api.http.wire.accepting import ARRAY, CSV, JSON, OBJECT, Media, accepted
from refold.projections.tables.serving import ServedModel

MEDIA_TYPES = (JSON, ARRAY, OBJECT, CSV, *files())
"""What a list of rows can be; the first if a client accepts anything. Those behind CSV are files only (`files`)."""
ROW_MEDIA_TYPES = (JSON, OBJECT)
VARY = "Accept, Accept-Encoding, Prefer, Range"
MOST_ASKED, _SHORT = 1000, 500
"""Questions whose plans are kept, and most bytes of a query string among them; when there are more, all are read again."""
_FORMING = ("accept", "prefer", "range")
"""Headers that a plan is made of."""


class Asked(NamedTuple):
    """What a client asks for: the plan of its rows, the form of the answer, and its preferences. `head`: it wants no body."""

    plan: Plan
    media: Media
    preferences: Preferences
    head: bool

    @property
    def single(self) -> bool:
        """Whether the answer is the object of exactly one row."""
        return self.media.type == OBJECT


def said(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers of a request by their names in lower case; one that is there several times is one list."""
    found: dict[str, str] = {}
    for raw, value in headers:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def asked_again(
    known: MutableMapping[Hashable, Asked],
    model: ServedModel,
    models: Models,
    method: str,
    raw: bytes,
    headers: Mapping[str, str],
) -> Asked:
    """As `read_asked`, from what is known of the same question; a plan is a function of it and of the model.

    A plan of several models is made each time: any of them may be another one by now.
    """
    question = (model.domain, model.name, method, raw, *(headers.get(name) for name in _FORMING))
    found = known.get(question)
    if found is None or found.plan.model is not model:
        found = read_asked(model, models, method, raw, headers)
        if len(raw) <= _SHORT and not found.plan.root.parts:
            if len(known) >= MOST_ASKED:
                known.clear()
            known[question] = found
    return found


def read_asked(model: ServedModel, models: Models, method: str, raw: bytes, headers: Mapping[str, str]) -> Asked:
    """What a GET or HEAD of a list asks for; `models` may be embedded. Raises the errors of the language and of the plan, names before operators."""
    media = accepted(headers.get("accept"), MEDIA_TYPES)
    preferences = read_preferences(headers.get("prefer"))
    query = read_query(raw, check=check_name(model, models))
    rows = read_rows(query, headers.get("range"), get=method == "GET")
    head = method == "HEAD"
    wanted = Wanted(
        form="count" if head else "csv" if media.type == CSV else "stripped" if media.stripped else "json",
        total=preferences.count or "none",
        rows=rows,
        single=media.type == OBJECT,
    )
    return Asked(plan_query(model, query, wanted, models), media, preferences, head)
