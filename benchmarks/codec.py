"""Measures the codec's work for one command, in microseconds: read, hash, check, name, write its event.

Last line JSON.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from refold.retail.schemas.basket import ItemScanned, ScanItem
from refold.schemas.codec import Codec
from refold.schemas.identity import body_hash, event_uuid
from refold.schemas.meta import CommandMeta, Meta
from refold.schemas.validate import checked
from refold.streams.domain import load_domains

ROUNDS, CALLS = 60, 300


def microseconds(work: Callable[[], object]) -> float:
    """Microseconds of the fastest of many short rounds; on a shared machine slower ones measure the neighbours."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(CALLS):
            work()
        best = min(best, time.perf_counter() - started)
    return round(best / CALLS * 1e6, 2)


def main() -> None:
    codec = Codec(load_domains(["retail"]).catalog)
    now = datetime.now(UTC)
    stream, command_id = "31198570044", UUID(int=7 << 64)
    command = ScanItem(
        basket_id=stream, product_id=819063, quantity=2, amount=Decimal("3.99"), discount=Decimal("0.40")
    )
    event = ItemScanned(store_id=330, product_id=819063, quantity=2, amount=Decimal("3.99"), discount=Decimal("0.40"))
    sent = CommandMeta(command_id=command_id, category="retail.basket", stream=stream, occurred_at=now)
    meta = Meta(
        writer=command_id,
        command_id=command_id,
        body_hash=bytes(16),
        event_id=command_id,
        category="retail.basket",
        stream=stream,
        version=5,
        base_version=4,
        seq=12345,
        index=0,
        count=1,
        command_offset=123_456,
        occurred_at=now,
        recorded_at=now,
    )
    value = codec.command(sent, command)
    written = codec.event(meta, event)
    path = {
        "read_command": microseconds(lambda: codec.read_command(value)),
        "body_hash": microseconds(lambda: body_hash(command)),
        "checked_event": microseconds(lambda: checked(event)),
        "event_uuid": microseconds(lambda: event_uuid("retail.basket", stream, command_id, 0)),
        "write_event": microseconds(lambda: codec.event(meta, event)),
    }
    beside = {
        "write_command": microseconds(lambda: codec.command(sent, command)),
        "read_event": microseconds(lambda: codec.read_event(written)),
    }
    for name, cost in (path | beside).items():
        print(f"{name:14} {cost:6.2f} us")
    print(json.dumps({"command_us": round(sum(path.values()), 2), **path, **beside}))


if __name__ == "__main__":
    main()
