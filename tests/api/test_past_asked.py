"""Questions about a stream's past are read exactly, or refused with the parameter at fault."""

from datetime import UTC, datetime

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.errors import ApiError
from refold.api.http.reads.stream_past import Past, read_past
from tests.api.conftest import World

PATH = "/v1/streams/retail/basket/b1"


@pytest.mark.parametrize(
    ("query", "past"),
    [
        (b"", None),
        (b"limit=3", None),
        (b"version=0", Past(version=0)),
        (b"version=7&limit=3", Past(version=7)),
        (b"at=2026-01-31", Past(before=datetime(2026, 1, 31, tzinfo=UTC))),
        (b"at=2026-01-31T12:00:00%2B02:00", Past(before=datetime(2026, 1, 31, 10, tzinfo=UTC))),
        (b"at=2026-01-31T12:00:00+02:00", Past(before=datetime(2026, 1, 31, 10, tzinfo=UTC))),
        (b"at=2026-01-31T12:00:00.000001Z", Past(before=datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC))),
        (b"at=2026-01-31&by=occurred", Past(before=datetime(2026, 1, 31, tzinfo=UTC), by="occurred")),
    ],
)
def test_a_question_is_read(query: bytes, past: Past | None) -> None:
    assert read_past(query) == past


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        (b"version=-1", "limit-invalid", "version"),
        (b"version=x", "limit-invalid", "version"),
        (b"version=99999999999999999999", "limit-invalid", "version"),
        (b"version=1&at=2026-01-31", "filter-invalid", "at"),
        (b"version=1&version=2", "filter-invalid", "version"),
        (b"at=yesterday", "time-invalid", "at"),
        (b"at=2026-02-30", "time-invalid", "at"),
        (b"at=2026-01-31T12:00:00", "time-invalid", "at"),
        (b"at=2026-01-31T12:00:00.0000001Z", "time-invalid", "at"),
        (b"at=", "time-invalid", "at"),
        (b"at=2026-01-31&by=guess", "filter-invalid", "by"),
        (b"version=1&by=occurred", "filter-invalid", "by"),
    ],
)
def test_a_faulty_question_is_refused_with_its_parameter(
    client: TestClient[Litestar], query: bytes, code: str, field: str
) -> None:
    with pytest.raises(ApiError) as refused:
        read_past(query)
    assert (refused.value.code, [fault.field for fault in refused.value.faults]) == (code, [field])
    answer = client.get(f"{PATH}?{query.decode()}")
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_past_state_of_a_very_long_stream_is_refused_openly(client: TestClient[Litestar], world: World) -> None:
    world.pages = [[(200_000, None, "other", 0, 900_000, 1, [5], None)]]
    answer = client.get(f"{PATH}?version=150000&limit=0")
    assert (answer.status_code, answer.json()["code"]) == (422, "stream-too-long")
