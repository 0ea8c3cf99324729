"""A template and its facts become a page of HTML that loads nothing from elsewhere, runs no script and escapes every text."""

import re
from functools import cache
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litestar import Response

from refold.api.console.errors import ConsoleExtraMissing
from refold.api.error_page import retry_after_of, status_of
from refold.schemas.errors import RefoldError
from refold.schemas.plurals import counted

if TYPE_CHECKING:
    from jinja2 import Environment

HTML = "text/html"
_TIME = re.compile(r"([0-9-]{10})T([0-9:]{8})(?:\.[0-9]+)?(?:Z|\+00:00)")
TEMPLATES = Path(__file__).parent / "templates"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""A browser that obeys them runs no script, whatever a text holds. Pages show what a key may read, so nothing keeps them."""


def page(name: str, /, status: int = 200, **facts: Any) -> Response[str]:
    """The page of a template. Raises ConsoleExtraMissing."""
    text = _environment().get_template(f"{name}.html").render(facts)
    return Response(text, status_code=status, media_type=HTML, headers=dict(HEADERS))


def problem_page(error: RefoldError, back: str | None = None) -> Response[str]:
    """The page of an error: what happened and what to do, under the status that the API has for it. Raises ConsoleExtraMissing.

    `back`: the path of the same page without a query.
    """
    status, again = status_of(error), retry_after_of(error)
    found = page("problem", status, error=error, phrase=HTTPStatus(status).phrase, place="", back=back)
    if again is not None:
        found.headers["Retry-After"] = str(again)
    return found


def style() -> Response[bytes]:
    """The style sheet of all pages."""
    return Response((TEMPLATES / "console.css").read_bytes(), media_type="text/css", headers=dict(HEADERS))


def clock(time: str) -> str:
    """A time of RFC 3339 in UTC as people read it, to the second."""
    return _TIME.sub(r"\1 \2 UTC", time)


@cache
def _environment() -> "Environment":
    if find_spec("jinja2") is None:
        raise ConsoleExtraMissing("the console needs the package jinja2, which is not installed")
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters |= {"counted": counted, "clock": clock}
    return found
