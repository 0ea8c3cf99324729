"""The API of the stack that a file's tests share."""

from collections.abc import Iterator

import httpx
import pytest

from refold.api.cli.stack import Stack


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[httpx.Client]:
    """For commands whose answer takes as long as workers die."""
    with httpx.Client(base_url=stack.api_url, timeout=100, headers={"Prefer": "wait=30"}) as client:
        yield client
