"""The demo's log without its servers: each of its commands, decided by the domain's rules, and what the reactor answers."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any
from uuid import UUID

from benchmarks.receipts import Decided
from refold.api.demo.commands import Wish, commands
from refold.api.demo.loyalty import Loyalty, wishes
from refold.api.demo.receipts import Receipts
from refold.reactors import Seen
from refold.retail.reactors import REACTORS
from refold.schemas.codec import Rejection
from refold.schemas.contracts import Event
from refold.streams.decider import Rejected
from refold.streams.domain import Domains


class Deciding:
    """The states of all streams, as the handler folds them."""

    def __init__(self, domains: Domains) -> None:
        self._rules = domains.deciders
        self._category = {
            command: name for name, category in domains.categories.items() for command in category.commands
        }
        self._states: dict[tuple[str, str], Any] = {}
        (self._reactor,) = REACTORS
        self._shoppers = defaultdict[str, Any](lambda: self._reactor.initial)

    def decide(self, wanted: Iterable[Wish]) -> Iterator[Decided]:
        """The outcomes of commands; behind a payment those of the reactor's commands."""
        for wish in wanted:
            command, at = wish.command, wish.occurred_at
            category, stream = self._category[type(command)], str(getattr(command, command.stream_field))
            rules, place = self._rules[category], (category, stream)
            state = self._states.get(place, rules.initial)
            found = rules.ask(command, state)
            if isinstance(found, Rejected):
                yield Decided(category, stream, at, Rejection(type(command).__name__, found.code, found.message))
                continue
            for event in (found,) if isinstance(found, Event) else found:
                self._states[place] = state = rules.go_on((event,), state)
                yield Decided(category, stream, at, event)
                if type(event) in self._reactor.reads:
                    yield from self.decide(self._answers(event, category, stream, wish))

    def _answers(self, event: Event, category: str, stream: str, wish: Wish) -> list[Wish]:
        shopper = self._shoppers[stream] = self._reactor.fold((event,), self._shoppers[stream])
        seen = Seen(category, stream, 1, UUID(int=0), wish.occurred_at, actor=None, correlation_id=None)
        return [wish._replace(command=command) for command in self._reactor.react(event, shopper, seen)]


def decided(domains: Domains, receipts: Receipts, loyalty: Loyalty, weeks: int) -> Iterator[Decided]:
    """Everything that the demo of so many weeks leaves in the log, but for the baskets of its latency measurement."""
    wanted = chain(commands(receipts, weeks), wishes(loyalty.until(receipts.end(weeks))))
    return Deciding(domains).decide(wanted)
