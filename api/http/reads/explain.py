"""Why a row is as it is: the events behind it, page by page, and the proof that they add up to it."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Request, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from refold.api.errors import DomainUnknown, ModelUnknown, PositionNotReached, RouteUnknown, RowAbsent
from refold.api.http.commands.request import read_wait
from refold.api.http.doors.principal import is_hidden
from refold.api.http.reads import page_cursor
from refold.api.http.reads.explained import explained, position, row_json
from refold.api.http.reads.positions import missing, read_wanted, token
from refold.api.http.reads.request import read_numbers, read_texts
from refold.api.http.reads.row_keys import PARAMETERS, Key, key_of_parameters, key_of_path
from refold.api.http.reads.services import WhyServices
from refold.api.http.wire.accepting import JSON, accepted
from refold.api.http.wire.answer import Answer
from refold.api.http.wire.parameters import bad_filter, refuse_unknown, shown
from refold.api.http.wire.paths import ANY, accept_of, raw_behind
from refold.api.past_errors import ViewNotExplained
from refold.projections.explaining.explainer import Asked, Explanation
from refold.projections.tables.served import ServedModel, served_table

MAX_CHANGES, DEFAULT_CHANGES = 1000, 100
DEFAULT_WAIT_S, SEARCH_S = 5.0, 3.0
"""Seconds that a request waits for `Refold-Min-Position`, and that it searches in the log; the next one goes on from there."""
AnyRequest = Request[Any, Any, Any]
Services = NamedDependency[SkipValidation[WhyServices]]


@get("/v1/explain/{domain:str}/{model:str}", parameters=ANY)
async def explain_by_parameters(
    request: AnyRequest, why: Services, domain: FromPath[str], model: FromPath[str]
) -> Answer:
    """The row with a key that a path cannot say: `column=eq.VALUE` or `column=is.null` for each column."""
    if raw_behind(request, "v1", "explain", domain, model) is not None:
        raise RouteUnknown("there is nothing at this path")
    found, raw = find_explained(why, domain, model), request.scope["query_string"]
    return await _answer(request, why, found, key_of_parameters(found, raw, PARAMETERS))


async def explain_row(request: AnyRequest, why: WhyServices, domain: str, model: str, raw: bytes) -> Answer:
    """The row whose key stands in the path."""
    accepted(accept_of(request.scope), (JSON,))
    found = find_explained(why, domain, model)
    refuse_unknown(request.scope["query_string"], PARAMETERS)
    return await _answer(request, why, found, key_of_path(found, raw))


def find_explained(why: WhyServices, domain: str, model: str) -> ServedModel:
    """The read model of a path. Raises DomainUnknown, ModelUnknown, ViewNotExplained."""
    declared = why.declared
    if is_hidden(domain):
        raise DomainUnknown(f"no domain {shown(domain)} with read models")
    layout = declared.layouts.get((domain, model))
    if layout is not None:
        return served_table(layout)
    view = next((view for view in declared.views if (view.domain, view.name) == (domain, model)), None)
    if view is not None:
        raise ViewNotExplained(f"{domain}.{model} is a view; it reads {', '.join(view.reads)}")
    known = sorted(name for of, name in declared.layouts if of == domain)
    if not known:
        raise DomainUnknown(f"no domain {shown(domain)} with read models")
    raise ModelUnknown(f"no read model {shown(model)} in {domain}; there are: {', '.join(known)}")


async def _answer(request: AnyRequest, why: WhyServices, model: ServedModel, key: Key) -> Answer:
    body, headers = await explanation_of(request, why, model, key)
    return Answer(msgspec.json.encode(body), media_type=JSON, headers=headers)


async def explanation_of(
    request: AnyRequest, why: WhyServices, model: ServedModel, key: Key
) -> tuple[dict[str, Any], dict[str, str]]:
    """A page of a row's explanation, and the headers of its answer. Raises RowAbsent, PositionNotReached, FilterInvalid."""
    raw, prefix = request.scope["query_string"], why.topic_prefix
    limit = read_numbers(raw, limit=(DEFAULT_CHANGES, 0, MAX_CHANGES))["limit"]
    texts = read_texts(raw, "order", "cursor")
    order = texts.get("order", "asc")
    if order not in {"asc", "desc"}:
        raise bad_filter("order", "order is asc (the oldest first) or desc (the newest first)")
    binding = _binding(model, key, order)
    start, positions, seen = (
        page_cursor.read(texts["cursor"], binding, prefix) if texts.get("cursor") else (0, None, None)
    )
    asked = Asked(model.domain, model.name, key, limit, start, order == "desc", positions, SEARCH_S)
    found = await _fresh(why, model, asked, request.headers)
    headers = {"Refold-Position": position(found.positions, prefix)}
    if found.is_empty:
        absent = RowAbsent(f"{model.name} has no row {_shown_key(key)}, and no event that made one")
        absent.headers = headers
        raise absent
    row = seen if seen is not None else _digest(found, found.row)
    adds_up = row == _digest(found, found.folded) if found.complete else None
    following = _following(request, found, binding, prefix, row) if limit or not found.complete else None
    if following is not None:
        headers["Link"] = f'<{following}>; rel="next"'
    if not found.complete:
        headers["Retry-After"] = "0"
    return explained(found, prefix, following, adds_up=adds_up), headers


async def _fresh(why: WhyServices, model: ServedModel, asked: Asked, headers: Mapping[str, str]) -> Explanation:
    """The explanation, once it reflects `Refold-Min-Position`; a further page stays at its position. Raises PositionNotReached."""
    wanted = read_wanted(headers.get("refold-min-position"), why.categories, model.categories)
    until = asyncio.get_running_loop().time() + read_wait(headers, DEFAULT_WAIT_S)
    while True:
        found = await why.explain(asked)
        reached = {(topic.removeprefix(why.topic_prefix), part): at for (topic, part), at in found.positions.items()}
        left, remaining = missing(wanted, reached), until - asyncio.get_running_loop().time()
        if not left or asked.positions is not None:
            return found
        if remaining <= 0:
            place = position(found.positions, why.topic_prefix)
            error = PositionNotReached(f"{model.name} stands at {place or 'the beginning'}, not at {token(left)}")
            error.headers = {"Refold-Position": place}
            raise error
        await why.moved(left, remaining)


def _following(request: AnyRequest, found: Explanation, binding: str, prefix: str, row: str) -> str | None:
    """The path of the next page; while not all events are found, of this one, at the same position.

    `row`: the digest of the row there, which has moved on when that page is asked for.
    """
    start = found.following if found.complete else 0
    if start is None:
        return None
    raw = request.scope["query_string"].decode("latin-1")
    kept = [part for part in raw.split("&") if part and not part.startswith("cursor=")]
    cursor = page_cursor.written(start, found.positions, binding, prefix, row)
    path = quote(request.scope["raw_path"].decode("latin-1"), safe="/%,:~!$&'()*+;=@")
    return f"{path}?{'&'.join([*kept, f'cursor={cursor}'])}"


def _shown_key(key: Key) -> str:
    return ",".join("null" if value is None else shown(value)[1:-1] for value in key)


def _digest(found: Explanation, row: Mapping[str, Any] | None) -> str:
    return hashlib.sha256(msgspec.json.encode(row_json(found.layout, row))).hexdigest()[:32]


def _binding(model: ServedModel, key: Key, order: str) -> str:
    named = msgspec.json.encode([model.domain, model.name, key, order])
    return hashlib.sha256(named).hexdigest()[:16]


ROUTES = Router("/", route_handlers=[explain_by_parameters])
