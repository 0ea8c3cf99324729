"""A request's body is whole, in time and of a bounded size, or an error names its fault."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from refold.api.errors import ApiError, BodyIncomplete, BodyTimeout, BodyTooLarge
from refold.api.http.wire import bodies
from refold.api.http.wire.bodies import MAX_BODY_BYTES, whole_body


def read(pieces: Sequence[bytes | None], **headers: str) -> bytes:
    """The body of a client that sends these pieces; at None it hangs up, and after the last it says no more."""
    messages: list[dict[str, Any]] = [
        {"type": "http.disconnect"} if piece is None else {"type": "http.request", "body": piece, "more_body": True}
        for piece in pieces
    ]
    if pieces and pieces[-1] == b"":
        messages[-1]["more_body"] = False
    left = iter(messages)

    async def receive() -> Any:
        for message in left:
            return message
        return await asyncio.sleep(60)

    return asyncio.run(whole_body(receive, headers))


def test_pieces_are_one_body() -> None:
    assert read([b""]) == b""
    assert read([b"ab", b"", b"c", b""]) == b"abc"
    assert len(read([b"x" * MAX_BODY_BYTES, b""])) == MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("pieces", "headers", "error"),
    [
        ([b"ab", None], {}, BodyIncomplete),
        ([b"x" * MAX_BODY_BYTES, b"x"], {}, BodyTooLarge),
        ([], {"content-length": str(MAX_BODY_BYTES + 1)}, BodyTooLarge),
        ([b"ab"], {}, BodyTimeout),
    ],
)
def test_what_is_no_body_has_its_own_error(
    pieces: list[bytes | None], headers: dict[str, str], error: type[ApiError], monkeypatch: pytest.MonkeyPatch
) -> None:
    if error is BodyTimeout:  # whose time is short; no other is to run out on a busy machine
        monkeypatch.setattr(bodies, "BODY_S", 0.05)
    with pytest.raises(error):
        read(pieces, **headers)
