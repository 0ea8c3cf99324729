"""What OpenAPI says of several paths alike, said once: answers, headers and parameters become components, which paths refer to."""

from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

Json = dict[str, Any]
_METHODS = frozenset({"get", "head", "post", "put", "patch", "delete", "options"})


def shared(document: Json) -> Json:
    """The same description, with a reference wherever an answer, a header or a parameter is that of another place, too.

    Names are those of statuses, headers and parameters; a second meaning of one has a number behind it.
    """
    parts = _Parts(document)
    paths = {
        path: {key: parts.operation(one) if key in _METHODS else one for key, one in item.items()}
        for path, item in document["paths"].items()
    }
    return {**document, "paths": paths, "components": {**document["components"], **parts.components}}


class _Parts:
    """The parts that several places have, and the components that they become."""

    def __init__(self, document: Json) -> None:
        self.components: dict[str, Json] = {"responses": {}, "headers": {}, "parameters": {}}
        operations = [one for item in document["paths"].values() for method, one in item.items() if method in _METHODS]
        self._times = Counter(_key(part) for one in operations for part in _parts(one))
        self._names: dict[tuple[str, bytes], str] = {}

    def operation(self, one: Json) -> Json:
        responses = {
            status: self._placed("responses", _phrase(status), answer, self._answer(answer))
            for status, answer in one["responses"].items()
        }
        parameters = [self._placed("parameters", each["name"], each, each) for each in one.get("parameters", ())]
        return {**one, **({"parameters": parameters} if "parameters" in one else {}), "responses": responses}

    def _answer(self, answer: Json) -> Json:
        if "headers" not in answer:
            return answer
        headers = {name: self._placed("headers", name, each, each) for name, each in answer["headers"].items()}
        return {**answer, "headers": headers}

    def _placed(self, kind: str, name: str, part: Json, written: Json) -> Json:
        """The part itself if it is there once, else a reference to its component; `written`: the part with references inside."""
        key = _key(part)
        if self._times[key] == 1:
            return written
        known = self._names.get((kind, key))
        if known is None:
            there = self.components[kind]
            numbered = (name if number == 1 else f"{name}{number}" for number in range(1, len(there) + 2))
            known = self._names[kind, key] = next(one for one in numbered if one not in there)
            there[known] = written
        return {"$ref": f"#/components/{kind}/{known}"}


def _parts(operation: Json) -> Iterator[Json]:
    yield from operation.get("parameters", ())
    for answer in operation["responses"].values():
        yield answer
        yield from answer.get("headers", {}).values()


def _key(part: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(part, order="deterministic")


def _phrase(status: str) -> str:
    """`Too Many Requests` as a name."""
    return HTTPStatus(int(status)).phrase.title().replace(" ", "").replace("-", "").replace("'", "")
