"""The process has the descriptors that the promised connections need; otherwise it takes fewer and reports it."""

import resource

import pytest

from refold.api.http.wire.descriptors import connections_possible


@pytest.mark.parametrize(
    ("limits", "possible", "set_to"),
    [
        ((256, 256), 136, (256, 256)),
        ((256, 9000), 4500, (9000, 9000)),
        ((9000, 9000), 4500, None),
        ((1, 50), 1, (50, 50)),
    ],
)
def test_the_soft_limit_is_raised_and_what_is_missing_is_said(
    limits: tuple[int, int],
    possible: int,
    set_to: tuple[int, int] | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    was: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, to: was.append(to))
    assert connections_possible(4500) == possible
    assert was == ([set_to] if set_to else [])
    assert len(caplog.records) == (possible < 4500)
