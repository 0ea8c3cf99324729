"""What the door `keys` adds to the description of the API: how to say who asks, and the two refusals."""

from refold.access.roles import Right
from refold.api.access_errors import CredentialsInvalid, CredentialsMissing, Forbidden
from refold.api.http.describe.openapi_parts import Json, problems
from refold.api.http.doors.needs import need_of

_SCHEME = {"type": "http", "scheme": "bearer", "description": "A key of this API, or a token of its issuer."}


def guarded(document: Json) -> Json:
    """The description of an API whose requests need a key."""
    refusals = problems(CredentialsMissing, CredentialsInvalid) | problems(Forbidden)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            need: Right | None = need_of(method.upper(), path)
            if need is None:
                operation["security"] = []
            else:
                operation["responses"] = {**refusals, **operation["responses"]}
    document["components"]["securitySchemes"] = {"key": _SCHEME}
    return {**document, "security": [{"key": []}]}
