"""Reads the topic of schemas, whole or when a process meets a record whose schema it does not know."""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from refold.schemas.avro import schema_id
from refold.streams import journal
from refold.streams.errors import KafkaUnavailable
from refold.streams.kafka import clients
from refold.streams.kafka.messages import records_of
from refold.streams.refusals import of_kafka

_log = logging.getLogger(__name__)
_TIMEOUT_S = 20.0
_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)  # noqa: SLF001 - public constants of the library


class SchemaLog:
    """All schemas in the log by id, up to its end at each call; each is read once. One caller at a time."""

    def __init__(self, servers: str, topic: str) -> None:
        self._servers, self._topic = servers, topic
        self._client: Consumer | None = None
        self._read: dict[int, dict[str, Any]] = {}
        self._seen = 0

    def __call__(self) -> Mapping[int, dict[str, Any]]:
        """Raises KafkaUnavailable, KafkaRefused."""
        try:
            if self._client is None:
                self._client = clients.consumer(self._servers)
                self._client.assign([TopicPartition(self._topic, 0, self._seen)])
            self._read_on(self._client)
        except KafkaException as problem:
            self.close()
            if problem.args[0].code() in _NO_TOPIC:
                return {}
            raise of_kafka(problem.args[0], "the schemas cannot be read") from problem
        except KafkaUnavailable:
            self.close()
            raise
        return self._read

    def _read_on(self, client: Consumer) -> None:
        _, end = client.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=_TIMEOUT_S)
        heard = time.monotonic()
        while self._seen < end:
            for message in records_of(client.consume(500, 0.2)):
                self._take(message)
                self._seen, heard = (message.offset() or 0) + 1, time.monotonic()
            if time.monotonic() - heard > _TIMEOUT_S:
                raise KafkaUnavailable(f"{self._topic}: offset {self._seen} of {end} is reached, and nothing follows")

    def _take(self, message: Message) -> None:
        """Take a schema only under its own id, since anyone may write into a topic."""
        try:
            number, schema = int(message.key() or b""), json.loads(message.value() or b"null")
            sound = schema is None or _is_schema(number, schema)
        except (ValueError, RecursionError):
            sound = False
        if not sound:
            told = journal.about(place=(self._topic, 0), offset=message.offset())
            _log.warning(
                "%s@%s is no schema under its id: it is passed over", self._topic, message.offset(), extra=told
            )
        elif schema is None:
            self._read.pop(number, None)
        else:
            self._read[number] = schema

    def close(self) -> None:
        """The next call starts again with another client."""
        if self._client is not None:
            self._client.close()
        self._client, self._seen = None, 0


def _is_schema(number: int, schema: Any) -> bool:
    named = isinstance(schema, dict) and all(isinstance(schema.get(part), str) for part in ("name", "namespace"))
    return named and schema_id(schema) == number
