"""The commands of a schedule: few streams, repeated ids, changed bodies, expected versions."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from tests.simulation.domain import Add


@dataclass(frozen=True)
class Sent:
    """A command as a client sent it."""

    command_id: UUID
    command: Add
    expected: int | None


def commands(rng: random.Random) -> Sequence[Sent]:
    """Three to twelve commands on two streams; some are sent again, some of those with another body."""
    sent: list[Sent] = []
    for n in range(rng.choice((3, 5, 8, 12))):
        if sent and rng.random() < 0.4:
            again = rng.choice(sent)
            other = Add(stream=again.command.stream, events=again.command.events, tag="other")
            sent.append(again if rng.random() < 0.8 else Sent(again.command_id, other, again.expected))
        else:
            add = Add(
                stream=rng.choice("sst"), events=rng.choice((1, 1, 2, 3)), tag=f"c{n}", needs_some=rng.random() < 0.2
            )
            sent.append(Sent(UUID(int=rng.getrandbits(128), version=4), add, rng.choice((None, None, 0, 1, 2))))
    return sent
