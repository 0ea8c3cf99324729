"""CloudEvents 1.0 in Kafka's binary mode: an event's attributes as headers, for readers that are not ours. Pure.

The headers repeat the envelope, which alone counts: no fold reads a header. Format:
https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from refold.schemas.catalog import Catalog, Kind
from refold.schemas.envelope import EVENT, framed
from refold.schemas.errors import Undecodable

Headers = list[tuple[str, bytes]]
HeadersOf = Callable[[bytes], Headers]
"""The headers of a record, by its value."""
CONTENT_TYPE = "avro/binary"
_SEQUENCE_DIGITS = 19
_ALWAYS = (("content-type", CONTENT_TYPE.encode()), ("ce_specversion", b"1.0"))


def no_headers(_: bytes) -> Headers:
    """Records without headers."""
    return []


def cloud_events(catalog: Catalog) -> HeadersOf:
    """The headers of domain events; records of the platform's own (claims, voidings, rejections) have none."""

    def headers_of(value: bytes) -> Headers:
        try:
            writer = catalog.by_id.get(framed(value))
        except Undecodable:
            return []
        if writer is None or writer.kind is not Kind.EVENT:
            return []
        values, _ = EVENT.read(value)
        return _attributes(writer.name, EVENT.named(values))

    return headers_of


def _attributes(name: str, meta: dict[str, object]) -> Headers:
    category, stream = str(meta["category"]), str(meta["stream"])
    domain, _, short = category.partition(".")
    found = {
        "id": _uuid(meta["event_id"]),
        "source": f"/v1/streams/{domain}/{short}",
        "type": f"{category}.{name}",
        "subject": stream,
        "time": _time(meta["occurred_at"]),
        "recordedtime": _time(meta["recorded_at"]),
        "sequence": f"{meta['version']:0{_SEQUENCE_DIGITS}}",
        "causationid": _uuid(meta["command_id"]),
        "correlationid": meta["correlation_id"],
        "actor": meta["actor"],
    }
    named = [(f"ce_{name}", str(value).encode()) for name, value in found.items() if value is not None]
    return [*_ALWAYS, *named]


def _uuid(raw: object) -> str:
    assert isinstance(raw, bytes)
    return str(UUID(bytes=raw))


def _time(at: object) -> str:
    assert isinstance(at, datetime)
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
