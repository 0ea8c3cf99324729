"""The parts of a stream of changes alone: ids, kept keys, what waits for a client, and who stands with whom."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refold.api.errors import TokenMalformed
from refold.api.http.changes import events, subscriber
from refold.api.http.changes.cohorts import Cohort, merged
from refold.api.http.changes.ids import Since, mark_of, read_since, written
from refold.api.http.changes.moment import Moment
from refold.api.http.changes.recent_keys import RecentKeys
from refold.api.http.changes.selection import Selection, select
from refold.api.http.changes.subscriber import SLOW, Subscriber
from refold.api.http.reads.language.query_string import read_query
from refold.projections.tables.serving import ServedModel
from refold.streams.chunk import Place

TOPIC, OTHER = "retail.basket.events", "retail.product.events"
PLACES = st.dictionaries(st.tuples(st.sampled_from([TOPIC, OTHER]), st.integers(0, 3)), st.integers(0, 10**12))
A, B = ("t", 0), ("t", 1)


@given(positions=PLACES)
def test_an_id_is_read_back_as_it_was_written(positions: dict[tuple[str, int], int]) -> None:
    mark = mark_of("retail", "baskets", 7)
    assert read_since(written(mark, positions), [TOPIC, OTHER]) == Since(positions, mark)


def test_a_position_alone_is_a_place_of_whatever_table_serves() -> None:
    assert read_since(f"{TOPIC}/2:7", [TOPIC]) == Since({(TOPIC, 2): 7}, None)


@pytest.mark.parametrize("text", ["", "now ", "0123456789ab@x", "0123456789AB@", f"{TOPIC}/2", "other.events/0:1"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(TokenMalformed) as caught:
        read_since(text, [TOPIC])
    assert caught.value.message.startswith("since: ")


def test_an_event_is_lines_and_its_id_comes_with_its_data() -> None:
    assert events.row('{"a":"ä\\n"}') == 'event: row\ndata: {"a":"ä\\n"}\n\n'.encode()
    assert events.removed('{"a":1}') == b'event: removed\ndata: {"a":1}\n\n'
    assert events.position("m@p/0:1", {"lag": 0}) == b'event: position\nid: m@p/0:1\ndata: {"lag":0}\n\n'
    assert events.reset(None, "table-changed", rows_follow=True) == (
        b'event: reset\ndata: {"reason":"table-changed","rows":"follow"}\n\n'
    )
    assert events.end("stopping", "why") == b'event: end\ndata: {"code":"stopping","message":"why"}\n\n'


@given(
    cuts=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    keys=st.lists(st.sampled_from("abcd"), min_size=40, max_size=40),
    most=st.integers(4, 40),
    start=st.integers(0, 40),
)
def test_kept_keys_are_all_that_were_touched_as_far_back_as_they_reach(
    cuts: list[int], keys: Sequence[str], most: int, start: int
) -> None:
    """Several keys a record, records without keys, and the oldest dropped: what is said to be kept is whole."""
    kept = RecentKeys({A: 5, B: 0}, most)
    log: dict[Place, list[tuple[int, tuple[str]]]] = {A: [], B: []}
    at = {A: 5, B: 0}
    for number, size in enumerate(cuts):
        place = (A, B)[number % 2]
        found = [(at[place] + n // 2, (keys[(number + n) % 40],)) for n in range(size)]
        at[place] += size
        log[place] += found
        kept.append({place: found}, {place: at[place]})
    asked = {A: start, B: start}
    wanted = {key for place in (A, B) for offset, key in log[place] if offset >= start}
    if kept.reaches(asked):
        assert set(kept.between(asked, at)) == wanted
    else:
        assert kept.missing(asked) > 0
    assert kept.kept() <= max(most, 2)
    assert kept.unread({A: at[A] + 2, B: at[B]}) == (at, {A: at[A] + 2, B: at[B]})


def test_keys_from_further_back_are_put_before() -> None:
    kept = RecentKeys({A: 5})
    kept.append({A: [(6, ("b",))]}, {A: 7})
    assert (kept.reaches({A: 3}), kept.missing({A: 3})) == (False, 2)
    kept.prepend({A: [(3, ("a",)), (4, ("b",))]}, {A: 3})
    assert kept.reaches({A: 3})
    assert kept.between({A: 3}, {A: 7}) == [("a",), ("b",)]
    assert kept.between({A: 4}, {A: 6}) == [("b",)]


def moment(parked: frozenset[tuple[int, str, str, int, int]] = frozenset(), build: int = 1) -> Moment:
    return Moment("f", {A: 1}, parked, ("d", "m", build, "f", "1.0"), 0, None, None)


def test_a_moment_follows_one_of_the_same_table_unless_a_stream_was_let_go_on() -> None:
    waits = (0, "retail.basket", "b-1", 0, 7)
    assert moment(frozenset({waits})).follows(moment())
    assert not moment().follows(moment(frozenset({waits})))
    assert not moment(build=2).follows(moment())
    assert moment().mark != moment(frozenset({waits})).mark != moment(build=2).mark


async def pieces_of(one: Subscriber) -> bytes:
    return b"".join([piece async for piece in one.pieces()])


def test_a_stream_begins_with_retry_and_ends_with_its_reason() -> None:
    one = Subscriber("m")
    one.put(b"event: row\n\n", "p1")
    one.end("stopping", "bye")
    one.put(b"late", "p2")
    assert asyncio.run(pieces_of(one)) == (
        b'retry: 1000\n\nevent: row\n\nevent: end\ndata: {"code":"stopping","message":"bye"}\n\n'
    )


def test_a_client_that_is_too_slow_loses_whole_batches_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "MOST_WAITING", 100)
    one = Subscriber("m")
    one.put(b"x" * 150, "p1")
    one.put(b"y", "p2")
    assert one.ended == SLOW
    sent = asyncio.run(pieces_of(one))
    assert b"x" not in sent.partition(b"event: end")[0]
    assert b'"code":"slow-client"' in sent
    assert b"id:" not in sent, "it goes on at the last batch that was sent whole"


def test_a_silent_stream_has_a_heartbeat_and_moves_the_clients_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "HEARTBEAT_S", 0.01)

    async def listen() -> list[bytes]:
        one = Subscriber("m")
        found = []
        async for piece in one.pieces():
            found.append(piece)
            if len(found) == 2:
                one.note("m@p/0:7")
            if len(found) == 4:
                one.leave()
        return found

    assert asyncio.run(listen()) == [b"retry: 1000\n\n", b":\n\n", b"id: m@p/0:7\n\n", b":\n\n"]


def test_cohorts_at_one_place_become_one_and_those_without_anybody_end(model: ServedModel) -> None:
    selection = Selection("one", model, (), ())
    first, second, third, gone = (Subscriber("m") for _ in range(4))
    gone.leave()
    cohorts = [
        Cohort(selection, False, {A: 1}, "m", [first]),
        Cohort(selection, False, {A: 1}, "m", [second]),
        Cohort(selection, False, {A: 2}, "m", [third]),
        Cohort(selection, True, {A: 1}, "m", [gone]),
    ]
    assert [one.subscribers for one in merged(cohorts)] == [[first, second], [third]]


def test_filters_on_the_key_alone_leave_other_keys_out(model: ServedModel) -> None:
    found = select(model, read_query(b"store_id=eq.7&note=is.null"))
    assert [(one.values, one.of_key) for one in found.conditions] == [(("7",), True), ((), False)]
    asked = list(found.changed([(7, "2026-01-01"), (None, "2026-01-01"), (8, "2026-01-02")]))
    assert [values for _, values in asked] == [
        [[7, 8], ["2026-01-01", "2026-01-02"], "7"],
        [[None], ["2026-01-01"], "7"],
    ]
    text = asked[1][0].as_string()
    assert '"_View"."store_id" IS NULL AND "_View"."day" = "_Key"."day"' in text
    assert found.name == select(model, read_query(b"note=is.null&store_id=eq.7")).name
    assert json.dumps(text)
