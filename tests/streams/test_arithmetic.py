"""Tests that authors' functions compute exactly, wherever they are called and whatever the thread's context says."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Context, Decimal, getcontext, localcontext
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest

from refold.schemas.arithmetic import at_scale
from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec
from refold.schemas.contracts import Category, Command, Event
from refold.schemas.meta import Meta
from refold.schemas.upcast import upcasts_of
from refold.streams import decider
from refold.streams.decider import Decider, Decision
from refold.streams.handler.decide import Incoming, decide
from refold.streams.reactors.arrived import Arrived
from refold.streams.reactors.reacting import Reacting
from refold.streams.reactors.reactor import Reactor, Seen
from refold.streams.rules.effects import Before, StoredStream, state_after
from refold.streams.rules.judge import ClaimState

Wide = Annotated[Decimal, msgspec.Meta(extra={"precision": 38, "scale": 18}, description="How much.")]
LONG = Decimal("12345678901234567.123456789012345678")
TWICE = Decimal("24691357802469134.246913578024691356")
Name = Annotated[str, msgspec.Meta(description="Stream.")]


class Put(Command):
    """Put an amount twice."""

    stream_field = "jar"
    jar: Name
    amount: Wide


class Was(Event):
    """Retired: an amount was put."""

    amount: Wide


class Stood(Event):
    """An amount, doubled."""

    amount: Wide


class Jar(msgspec.Struct, frozen=True):
    total: Decimal = Decimal(0)


def doubled(old: Was) -> Stood:
    return Stood(amount=old.amount + old.amount)


JAR = Category("exact.jar", (Put,), (Stood,), (doubled,))


def put(command: Put, _jar: object) -> Decision:
    def made() -> Iterator[Event]:  # runs when it is read
        yield Stood(amount=command.amount + command.amount)

    return made()  # type: ignore[return-value]  # authors give what they like


def evolve(jar: Jar, event: Stood) -> Jar:
    getcontext().rounding = "ROUND_UP"  # ends with the fold
    return Jar(jar.total + event.amount)


def react(_event: Stood, jar: Jar, _seen: Seen) -> list[Command]:
    return [Put(jar="b", amount=jar.total * Decimal("0.5") + -jar.total * Decimal("0.5") + jar.total / 1)]


RULES: Decider[Any, Any, Any] = Decider(JAR, Jar(), put, evolve)
ECHO = Reactor("echo", JAR, (Stood,), react, Jar(), evolve)
META = Meta(
    writer=UUID(int=1), command_id=UUID(int=2), body_hash=bytes(16), event_id=UUID(int=3), category=JAR.name, stream="a",
    version=1, base_version=0, seq=0, index=0, count=1, command_offset=0,
    occurred_at=datetime(2026, 1, 1, tzinfo=UTC), recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip


@pytest.fixture(params=[4, 28], autouse=True)
def rounding(request: pytest.FixtureRequest) -> Iterator[None]:
    """A thread's context that rounds; nothing leaks into it."""
    with localcontext(prec=request.param) as context:
        yield
        assert context.prec == request.param
        assert context.rounding == "ROUND_HALF_EVEN"


def test_the_handler_decides_exactly() -> None:
    incoming = Incoming("Put", Put(jar="a", amount=LONG), bytes(16), bytes(16), "a", 0, META.occurred_at)
    decided = decide(RULES, incoming, Jar(), 0)
    assert decided.rejection is None
    assert decided.events == (Stood(amount=TWICE),)
    assert decided.state == Jar(TWICE)


def test_given_when_then_is_exact() -> None:
    given = RULES.fold((Stood(amount=LONG), Stood(amount=LONG)))
    assert given == Jar(TWICE)
    assert RULES.load(RULES.dump(given)) == given


def test_the_core_folds_exactly() -> None:
    stored = StoredStream(1, RULES.dump(Jar(LONG)), RULES.fingerprint)
    before = Before(ClaimState(), b"", first=False, streams={"a": stored}, known=frozenset())
    state, fingerprint = state_after(RULES, "a", [Stood(amount=LONG)], before, lambda *_: None)
    assert (RULES.load(state), fingerprint) == (Jar(TWICE), RULES.fingerprint)


def test_an_upcaster_is_exact() -> None:
    assert upcasts_of(JAR).todays(Was(amount=LONG)) == (Stood(amount=TWICE),)


def test_a_reactor_remembers_and_answers_exactly() -> None:
    sent: list[Any] = []

    class Addressed:
        def target(self, command: Any) -> tuple[Category, str]:
            return JAR, str(command.jar)

        def record(self, _meta: Any, command: Any) -> Any:
            sent.append(command)
            return command

    reacting = Reacting(Addressed(), {}, {}, lambda *_: Jar())  # type: ignore[arg-type]  # all that it asks of one
    for version in (1, 2):
        meta = msgspec.structs.replace(META, version=version)
        reacting.take(Arrived(0, version, meta, (Stood(amount=LONG),), (ECHO,)))
    assert not reacting.answers().parked
    assert sent == [Put(jar="b", amount=LONG), Put(jar="b", amount=TWICE)]
    assert ECHO.load(reacting.answers().states["echo", "a"].state) == Jar(TWICE)


class Count(msgspec.Struct, frozen=True):
    puts: int = 0


def counted(count: Count, _event: Stood) -> Count:
    return Count(count.puts + 1)


def test_states_that_were_rounded_once_are_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no others are."""
    monkeypatch.setattr(decider, "AUTHORS", Context(prec=28))
    assert Decider(JAR, Jar(), put, evolve).fingerprint != RULES.fingerprint
    assert Reactor("echo", JAR, (Stood,), react, Jar(), evolve).fingerprint != ECHO.fingerprint
    rounded: Decider[Any, Any, Any] = Decider(JAR, Count(), put, counted)
    monkeypatch.undo()
    assert Decider(JAR, Count(), put, counted).fingerprint == rounded.fingerprint


def test_a_number_has_one_form_at_a_scale() -> None:
    assert [str(at_scale(Decimal(text), 2)) for text in ("1", "1.5", "1E+2", "-0.00", "1.005", "NaN")] == [
        "1.00", "1.50", "100.00", "0.00", "None", "None",
    ]  # fmt: skip


def test_records_of_38_digits_are_read_as_they_were_written() -> None:
    codec = Codec(Catalog((Category("exact.jar", (), (Stood,)),), [schema_of(Stood, JAR.name)]))
    most = Decimal((0, (9,) * 38, -18))
    for amount in (most, most.copy_negate(), LONG, Decimal((1, (1,), -18))):
        assert codec.read_event(codec.event(META, Stood(amount=amount)))[1] == Stood(amount=amount)


class Visits(msgspec.Struct, frozen=True):
    last: datetime | None = None
    all: tuple[datetime, ...] = ()
    by_name: dict[str, datetime] = {}
    total: Decimal = Decimal(0)
    naive: datetime | None = None


def visited(visits: Visits, _event: Stood) -> Visits:
    return visits


def test_a_state_keeps_moments_whatever_their_offset() -> None:
    """The offset of Monrovia had seconds until 1972: written with its minutes alone it is another moment."""
    monrovia = datetime(1970, 1, 1, tzinfo=ZoneInfo("Africa/Monrovia"))
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the author's own
    state = Visits(monrovia, (monrovia,), {"a": monrovia}, LONG, naive)
    rules: Decider[Any, Any, Any] = Decider(JAR, Visits(), put, visited)
    assert rules.load(rules.dump(state)) == state
    reactor = Reactor("visits", JAR, (Stood,), react, Visits(), visited)
    assert reactor.load(reactor.dump(state)) == state
    plain = Visits(total=LONG)
    assert rules.dump(plain) == msgspec.json.encode(plain)
