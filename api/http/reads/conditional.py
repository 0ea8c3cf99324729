"""Conditional reads: what an answer can be recognized by, and 304 for a client that has it, without touching the model's table."""

from collections.abc import Mapping
from typing import NamedTuple

from litestar.types import Scope

from refold.api.http.reads.asking import VARY
from refold.api.http.reads.freshness import Standing, http_date, is_known, read_max_age
from refold.api.http.reads.model_faults import faults_said
from refold.api.http.reads.planning.plan import Plan
from refold.api.http.reads.positions import missing, read_wanted
from refold.api.http.reads.services import ModelServices
from refold.api.http.reads.standing import ALONE, ClosedModel, standing_of, standing_values
from refold.api.http.wire.answer import Answer
from refold.projections.tables.serving import ServedModel


class Basis(NamedTuple):
    """What an answer is a function of, besides the request."""

    model: ServedModel
    standing: Standing


_CONDITIONS = ("if-none-match", "if-modified-since")
_YEAR_S = 31_536_000
_FORMING = ("prefer", "range")
"""Headers that change an answer; `Accept` is in its media type."""


async def not_modified(
    models: ModelServices, plan: Plan, scope: Scope, headers: Mapping[str, str], media: str
) -> Answer | None:
    """304 if the client has the answer already; None if it does not, does not ask, or asks for fresher rows than there are.

    An answer of several read models is another one as soon as one of them has changed.

    `headers`: the request's, as `said` reads them.
    """
    if not any(name in headers for name in _CONDITIONS):
        return None
    model = plan.source
    async with faults_said(models.reads, *plan.models):
        ((text,),) = await models.reads.look_up(ALONE.encode(), standing_values(model, models.topic_prefix))
    standing = standing_of(text, model, models.topic_prefix)
    max_age = read_max_age(headers)
    wanted = read_wanted(headers.get("refold-min-position"), models.domains.categories, model.categories)
    if missing(wanted, standing.positions):
        return None
    if standing.is_older(max_age):
        return None
    etag, modified = (
        _etag(scope, headers, standing, media),
        models.reads.seen.modified((model.domain, model.name), standing),
    )
    if not is_known(headers, etag, modified):
        return None
    return Answer(
        b"", status_code=304, media_type=media, headers=_said(standing, etag, modified) | _kept(model), head=True
    )


def validated(
    models: ModelServices,
    plan: Plan,
    scope: Scope,
    headers: Mapping[str, str],
    standing: Standing,
    found: Answer,
) -> Answer:
    """The answer with its basis, `ETag` and, if its time is known, `Last-Modified`. One of several models has no single basis."""
    found.basis = None if plan.root.parts else Basis(plan.model, standing)
    modified = models.reads.seen.modified((plan.source.domain, plan.source.name), standing)
    found.headers.update(
        _validators(_etag(scope, headers, standing, found.media_type or ""), modified) | _kept(plan.source)
    )
    return found


def _kept(model: ServedModel) -> dict[str, str]:
    """What an answer about a snapshot says besides: it never changes."""
    if not isinstance(model, ClosedModel):
        return {}
    return {"Refold-Snapshot": model.snapshot, "Cache-Control": f"private, max-age={_YEAR_S}, immutable"}


def _said(standing: Standing, etag: str, modified: int | None) -> dict[str, str]:
    return standing.headers() | _validators(etag, modified) | {"Vary": VARY}


def _validators(etag: str, modified: int | None) -> dict[str, str]:
    return {"ETag": etag} | ({} if modified is None else {"Last-Modified": http_date(modified)})


def _etag(scope: Scope, headers: Mapping[str, str], standing: Standing, media: str) -> str:
    """Of the question as it was sent: parameters in another order are another question, whose answer is asked for again."""
    asked = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
    return standing.etag(*asked, media, [headers.get(name) for name in _FORMING])
