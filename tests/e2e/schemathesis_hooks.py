"""What schemathesis must know of the API that no description can say. It loads this file; nothing here imports Refold."""

import json
import uuid
from typing import Any

import schemathesis  # type: ignore[import-not-found]  # no package of the project: installed where it judges


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> Any:
    """A batch of one line, or of several."""
    if isinstance(value, bytes):
        return value
    return "\n".join(json.dumps(one) for one in (value if isinstance(value, list) else [value])).encode()


@schemathesis.deserializer("application/x-ndjson")
def read(_: Any, response: Any) -> Any:
    """Of a batch the answer to its first line; of rows the text."""
    if not response.request.url.endswith("/v1/commands"):
        return response.content.decode()
    return json.loads(response.content.partition(b"\n")[0] or b"{}")


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """Make a request that the description allows one that means something."""
    headers = case.headers or {}
    if ".events/" in str(headers.get("Refold-Min-Position")):
        del headers["Refold-Min-Position"]  # the API would wait for it
    for name, value in (case.query or {}).items():
        if value in ({}, []):  # nothing of it would be sent, and the rest is a good request
            case.query[name] = json.dumps(value)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    for name, sign in (("If-Match", '"'), ("Refold-Min-Position", ":")):
        if sign not in headers.get(name, sign):  # where schemathesis finds no text of such a pattern, it sends 0
            del headers[name]
    if "Idempotency-Key" in headers:  # of an earlier command
        headers["Idempotency-Key"] = str(uuid.uuid4())
    _agree(case.query or {})
    if case.path.startswith("/registry/") and case.method == "POST" and isinstance(case.body, dict):
        case.body["schema"] = "{}"  # an Avro schema
    case.body = _whole_numbers(case.body)


def _agree(query: dict[str, Any]) -> None:
    """Take away parameters that exclude each other, a cursor that no answer gave, and rows of other columns."""
    if "cursor" in query:
        query["cursor"] = ""
    if "select" in query:  # it decides which columns a row has, and their types: the schema of rows is that of none
        query["limit"] = 0
    if "command" in query:
        for name in query.keys() - {"stream", "command"}:
            del query[name]
    if "version" in query:
        query.pop("at", None)
    if "at" not in query:
        query.pop("by", None)


def _whole_numbers(body: Any) -> Any:
    """JSON Schema takes 7.0 for a whole number; the API takes it for a float, which no field of whole numbers is."""
    if isinstance(body, dict):
        return {name: _whole_numbers(value) for name, value in body.items()}
    return int(body) if isinstance(body, float) and body.is_integer() else body
