"""The demo's client of the API: it waits for a server that comes back, and not for a table that nobody builds."""

import pytest

from refold.api.demo.client import Client
from refold.streams.errors import Unreachable

MISSING = (
    b'{"code":"model-not-built","detail":"retail.lines has no table","remedy":"Build it: `refold replay rebuild`."}'
)


def test_a_model_without_a_table_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([(503, b"away", None), (503, MISSING, None)])
    monkeypatch.setattr(Client, "_once", lambda _, __: next(answers))
    with pytest.raises(Unreachable, match=r"/lines was answered 503: retail\.lines has no table") as refused:
        Client("http://127.0.0.1:1").get("/lines")
    assert refused.value.remedy == "Build it: `refold replay rebuild`."
