"""The schemas that the log holds, read while Kafka goes away."""

from typing import Any

import pytest
from pydantic import SecretStr

from refold.streams import kafka, topics
from refold.streams.errors import KafkaUnavailable
from refold.streams.settings import Settings

NOWHERE = Settings(kafka="127.0.0.1:9", database_url=SecretStr("postgresql://u@127.0.0.1:9/d"))


def test_a_kafka_that_falls_silent_in_the_middle_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the registry waits for this look, one behind another."""
    asked: list[None] = []

    class Silent:
        def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
            return 0, 3

        def assign(self, _: object) -> None: ...
        def close(self) -> None: ...

        def consume(self, *_: object) -> list[Any]:
            asked.append(None)
            assert len(asked) < 1_000_000, "asked without end"
            return []

    monkeypatch.setattr(topics, "_TIMEOUT_S", 0.05)
    monkeypatch.setattr(kafka, "consumer", lambda _: Silent())
    with pytest.raises(KafkaUnavailable, match="offset 0 of 3"):
        topics.logged_schemas(NOWHERE)
