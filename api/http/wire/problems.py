"""Every error as application/problem+json (RFC 9457), and the pages that its `type` points to."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, get
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from refold.api.error_page import catalogue, meaning, retry_after_of, status_of
from refold.api.errors import ApiError, BodyTimeout, Fault, InternalError, MethodNotAllowed, RouteUnknown
from refold.api.http.wire import request_ids
from refold.api.http.wire.answer import JSON, Answer, Noticing
from refold.schemas.errors import BadValue, RefoldError
from refold.streams import journal

PROBLEM_JSON = "application/problem+json"
_OF_STATUS: dict[int, tuple[type[ApiError], str]] = {
    404: (RouteUnknown, "there is nothing at this path"),
    405: (MethodNotAllowed, "the path does not take this method"),
    400: (RouteUnknown, "the path has an invalid part"),
}
_log = logging.getLogger(__name__)


def problem(
    error: RefoldError,
    *,
    headers: Mapping[str, str] | None = None,
    about: Mapping[str, Any] | None = None,
    code: str | None = None,
    final: bool = False,
) -> Answer:
    """An error as a response, with the request's id; `about` adds members, `code` is a domain's own in place of the platform's.

    A `final` outcome reads the same however often it is asked for, so the request's id is in its header alone.
    """
    body, retry_after = problem_body(error, about, code), retry_after_of(error)
    if not final and (request_id := request_ids.current()) is not None:
        body[request_ids.SCOPE] = request_id
    sent = dict(headers or {}) | ({"Retry-After": str(retry_after)} if retry_after else {})
    return Answer(msgspec.json.encode(body), status_code=body["status"], media_type=PROBLEM_JSON, headers=sent)


def problem_body(error: RefoldError, about: Mapping[str, Any] | None = None, code: str | None = None) -> dict[str, Any]:
    """The members of a problem; `message`, `details` and `hint` are those that PostgREST's clients show."""
    body = {
        "type": f"/problems/{error.code}",
        "title": meaning(type(error)),
        "status": status_of(error),
        "code": code or error.code,
        "detail": error.message,
        "remedy": error.remedy,
        "message": error.message,
        "details": None,
        "hint": error.remedy,
        **(about or {}),
    }
    faults = faults_of(error)
    if faults:
        body["errors"] = faults
    return body


def faults_of(error: RefoldError) -> list[Fault]:
    """The fields at fault; for a value that its type forbids, with a word for the kind of fault."""
    if isinstance(error, BadValue):
        return [_value_fault(error)]
    return list(error.faults) if isinstance(error, ApiError) else []


def _value_fault(error: BadValue) -> Fault:
    text, name = error.message, error.message.partition("`")[2].partition("`")[0]
    if text.startswith("Object missing required field"):
        return Fault(f"{error.field}.{name}", "missing", text)
    if text.startswith("Object contains unknown field"):
        return Fault(f"{error.field}.{name}", "unknown-field", text)
    if ", got" in text and text.startswith("Expected `"):
        return Fault(error.field, "wrong-type", text)
    return Fault(error.field, "out-of-range", text)


def answer_to(scope: Scope, error: Exception) -> Answer:
    """The answer to an error of a request, whichever it is."""
    if isinstance(error, RefoldError):
        return _to_ours(scope, error)
    if isinstance(error, HTTPException):
        return _to_the_frameworks(error)
    return _to_a_defect(scope, error)


def _to_ours(scope: Scope, error: RefoldError) -> Answer:
    """The answer to an error that we raise."""
    if status_of(error) == 500:
        method, path = _method(scope), scope["path"]
        _log.error("%s %s: %s: %s", method, path, error.code, error.message, exc_info=error, extra=_of_route(scope))
    # The rest of the body would be read as the next request.
    headers = error.headers if isinstance(error, ApiError) else {}
    answer = problem(error, headers=headers | ({"Connection": "close"} if isinstance(error, BodyTimeout) else {}))
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    if b"application/vnd.pgrst." in accept:
        answer.media_type = JSON  # the only type of an error that PostgREST's clients know
    return answer


def _to_the_frameworks(error: HTTPException) -> Answer:
    """The answer to an error that the framework raises before one of our handlers runs."""
    kind, message = _OF_STATUS.get(error.status_code, (InternalError, "the API failed"))
    return problem(kind(message), headers={k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"})


def _to_a_defect(scope: Scope, error: Exception) -> Answer:
    """The answer to a defect of ours: the log gets the details, the client gets none."""
    _log.error("%s %s failed", _method(scope), scope["path"], exc_info=error, extra=_of_route(scope))
    return problem(InternalError("the API failed"))


def _of_route(scope: Scope) -> dict[str, dict[str, Any]]:
    """Makes the log count the same error on two routes as two faults."""
    return journal.about(of=scope.get("path_template"))


def _method(scope: Scope) -> str:
    return str(scope.get("method", ""))


def answered(app: ASGIApp) -> ASGIApp:
    """Answer errors from within, unless an answer has begun. The framework would do so outside what counts answers: it would count a 500."""

    async def caught(scope: Scope, receive: Receive, send: Send) -> None:
        noticing = Noticing(send)
        try:
            await app(scope, receive, noticing)
        except Exception as error:
            if noticing.begun:
                raise
            await answer_to(scope, error).to_asgi_response()(scope, receive, send)

    return caught


def _on_error(request: Request[Any, Any, Any], error: Exception) -> Answer:
    return answer_to(request.scope, error)


HANDLERS: dict[int | type[Exception], Any] = {
    RefoldError: _on_error,
    HTTPException: _on_error,
    Exception: _on_error,
}


@get("/problems/{code:str}")
async def read_problem(code: FromPath[str]) -> Answer:
    """The meaning and remedy of a code."""
    found = catalogue().get(code)
    if found is None:
        return problem(RouteUnknown("this server has no such code; the message of a domain's own code explains it"))
    body = {"code": code, "meaning": meaning(found), "remedy": found.remedy}
    return Answer(msgspec.json.encode(body), media_type="application/json")
