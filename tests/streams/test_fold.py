"""Tests the log's rules: the fold by rows, the fold by columns and an independent model agree in any chunking."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.schemas.meta import LAST_EPOCH, RULES, Meta
from refold.streams.errors import NewerRules
from refold.streams.rules.judge import FAR_EPOCH, MOST_AHEAD, ClaimState, Envelope, Tables, judge
from tests.streams.logs import CATEGORY, Folded, by_columns, by_rows, claim, group, model, named, record, voiding


@dataclass(frozen=True)
class Vector:
    """A log, and what it comes to."""

    name: str
    log: Sequence[Envelope]
    effects: Sequence[tuple[str, str]]
    writer: str | None
    next_seq: int
    left: int = 0


A = claim("A", 1)
VECTORS = [
    Vector("nothing counts before a claim", [record("A", 0, "c", "s", 0)], [], None, 0),
    Vector("a claim, then its records", [A, *group("A", 0, "c", "s", 0, 2), record("A", 2, "d", "s", 2)], [("s", "c"), ("s", "d")], "A", 3),
    Vector("a rejection is an outcome without effect", [A, record("A", 0, "c", "s", 0, rejected=True), *group("A", 1, "d", "s", 0, 1)], [("s", "c"), ("s", "d")], "A", 2),
    Vector("a foreign record is passed over", [A, None, record("A", 0, "c", "s", 0)], [("s", "c")], "A", 1),
    Vector("another writer's records are ignored", [A, record("Z", 0, "x", "s", 0), record("A", 0, "c", "s", 0)], [("s", "c")], "A", 1),
    Vector("an epoch that is not greater is ignored", [claim("A", 2), claim("B", 2), record("B", 0, "x", "s", 0), record("A", 0, "c", "s", 0)], [("s", "c")], "A", 1),
    Vector("a greater epoch takes over; the zombie's late write is void", [A, claim("B", 2), record("A", 0, "x", "s", 0), record("B", 0, "c", "s", 0)], [("s", "c")], "B", 1),
    Vector("a claim voids the open group", [A, *group("A", 0, "c", "s", 0, 3)[:2], claim("B", 2), record("B", 0, "d", "s", 0)], [("s", "d")], "B", 1),
    Vector("a retried record (seq below) is ignored", [A, record("A", 0, "c", "s", 0), record("A", 0, "c", "s", 0), record("A", 1, "d", "s", 1)], [("s", "c"), ("s", "d")], "A", 2),
    Vector("a gap ends the claim", [A, record("A", 0, "c", "s", 0), record("A", 2, "d", "s", 1), record("A", 1, "e", "s", 1)], [("s", "c")], None, 1),
    Vector("a gap voids the open group", [A, *group("A", 0, "c", "s", 0, 3)[:2], record("A", 3, "d", "s", 0), record("A", 2, "c", "s", 0, index=2, count=3)], [], None, 2),
    Vector("a known command ends the claim", [A, record("A", 0, "c", "s", 0), record("A", 1, "c", "s", 1), record("A", 2, "d", "s", 1)], [("s", "c")], None, 2),
    Vector("a known command that is rejected ends it too", [A, record("A", 0, "c", "s", 0), record("A", 1, "c", "s", 1, rejected=True)], [("s", "c")], None, 2),
    Vector("the same command id in another stream is another command", [A, record("A", 0, "c", "s", 0), record("A", 1, "c", "t", 0)], [("s", "c"), ("t", "c")], "A", 2),
    Vector("a wrong base version ends the claim", [A, record("A", 0, "c", "s", 0), record("A", 1, "d", "s", 0)], [("s", "c")], None, 2),
    Vector("an open group waits", [A, record("A", 0, "c", "s", 0), *group("A", 1, "d", "s", 1, 3)[:2]], [("s", "c")], "A", 1, left=2),
    Vector("zombie records inside a group do not break it", [A, group("A", 0, "c", "s", 0, 2)[0], record("Z", 0, "x", "s", 0), group("A", 0, "c", "s", 0, 2)[1]], [("s", "c")], "A", 2),
    Vector("an index that jumps ends the claim", [A, record("A", 0, "c", "s", 0, index=1, count=2)], [], None, 0),
    Vector("two commands in one group end the claim", [A, record("A", 0, "c", "s", 0, count=2), record("A", 1, "d", "s", 0, index=1, count=2)], [], None, 1),
    Vector("a new claim of the same process begins at seq 0", [A, record("A", 0, "c", "s", 0), claim("A2", 2), record("A2", 0, "d", "s", 1)], [("s", "c"), ("s", "d")], "A2", 1),
]  # fmt: skip


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_vector(vector: Vector) -> None:
    """Every reader comes to what the vector says, in one chunk and in chunks of one record."""
    for folded in (
        model(vector.log),
        by_rows(vector.log),
        by_rows(vector.log, range(1, len(vector.log))),
        by_columns(vector.log, [1])[0],
    ):
        assert [(s, c) for s, c, _ in folded.effects] == [(s, named(c)) for s, c in vector.effects]
        assert folded.state.writer == (named(vector.writer) if vector.writer else None)
        assert (folded.state.next_seq, folded.left) == (vector.next_seq, vector.left)


def test_columns_decide_what_is_valid() -> None:
    """The columnar rule gives the verdict itself for a chunk that counts whole, open group at its end included."""
    log: list[Envelope] = [
        A,
        *group("A", 0, "c", "s", 0, 3),
        record("A", 3, "d", "t", 0, rejected=True),
        *group("A", 4, "e", "s", 3, 2),
        record("A", 6, "f", "s", 5, count=2),
    ]
    folded, used = by_columns(log, [1])
    assert used == 1
    assert folded == by_rows(log) == model(log)
    assert folded.left == 1


def test_other_category_or_key_does_not_count() -> None:
    """A record of another category under the current writer ends the claim: it cannot be that writer's."""
    tables = Tables(version=lambda _: 0, known=lambda _, __: False)
    verdict = judge([record("A", 0, "c", "s", 0)], "retail.product", ClaimState(1, 1, named("A"), 0, -1), tables)
    assert (verdict.state.writer, verdict.groups) == (None, [])


def test_newer_rules_stop_the_reader() -> None:
    """What follows a claim that counts and says newer rules is left; one that does not count is void like any other."""
    tables = Tables(version=lambda _: 0, known=lambda _, __: False)
    log: list[Envelope] = [A, record("A", 0, "c", "s", 0), claim("B", 2, rules=RULES + 1), record("B", 0, "d", "s", 1)]
    verdict = judge(log, CATEGORY, ClaimState(), tables)
    assert (verdict.taken, verdict.state.writer, len(verdict.groups)) == (2, named("A"), 1)
    assert isinstance(verdict.newer, NewerRules)
    assert by_rows([claim("A", 2), claim("B", 2, rules=9)]).state.writer == named("A")
    far: list[Envelope] = [claim("A", 2), claim("B", 2 + MOST_AHEAD + 1, rules=9), record("A", 0, "c", "s", 0)]
    assert by_rows(far).effects, "a forged claim does not count for the rules that it names, either"


FAR = 1 + MOST_AHEAD


@pytest.mark.parametrize(
    ("log", "writer"),
    [
        pytest.param([claim("A", 1), claim("B", FAR + 1)], "B", id="under rules 1 any greater epoch counts, for ever"),
        pytest.param([claim("A", 1, 2), claim("B", FAR + 1, 2)], "A", id="under rules 2 one far beyond does not"),
        pytest.param([claim("A", 1, 2), claim("B", FAR + 1, 1)], "A", id="nor one that says older rules"),
        pytest.param([claim("A", 1, 1), claim("B", FAR + 1, 2)], "A", id="nor one that would be the first under them"),
        pytest.param([claim("A", 1, 2), claim("B", FAR, 2)], "B", id="the bound itself counts"),
        pytest.param(
            [claim("A", 1, 2), claim("B", 2, 1), claim("C", FAR + 2, 1)],
            "B",
            id="older code may claim, and the bound stays",
        ),
        pytest.param(
            [claim("A", 1, 2), claim("B", 2**63 - 1, 2), claim("C", 2, 2)], "C", id="behind a forged claim others go on"
        ),
    ],
)
def test_a_claim_far_beyond_the_next_epoch_is_void(log: list[Envelope], writer: str) -> None:
    for folded in (model(log), by_rows(log), by_rows(log, range(1, len(log)))):
        assert folded.state.writer == named(writer)


GREATEST = claim("F", LAST_EPOCH)
FORGED = claim("F", 2, RULES + 1)


@pytest.mark.parametrize(
    ("log", "writer", "epoch", "left"),
    [
        pytest.param(
            [A, GREATEST, claim("B", 2, 2)], "F", LAST_EPOCH, 0, id="a claim with the greatest epoch leaves none"
        ),
        pytest.param(
            [A, GREATEST, voiding("F", 1, 2)], None, 2, 0, id="its voiding ends it, and says the epoch from there on"
        ),
        pytest.param([A, GREATEST, voiding("F", 1, 2), claim("B", 3, 2)], "B", 3, 0, id="others claim behind it"),
        pytest.param(
            [A, GREATEST, voiding("F", 1, 2), claim("G", LAST_EPOCH)],
            None,
            2,
            0,
            id="a voiding brings the bound with it",
        ),
        pytest.param(
            [A, GREATEST, voiding("F", 1, 2), claim("B", 3, 2), voiding("F", 1, 2)], "B", 3, 0, id="twice is once"
        ),
        pytest.param(
            [A, GREATEST, record("F", 0, "c", "s", 0, count=2), voiding("F", 1, 2)],
            None,
            2,
            0,
            id="the open group is void",
        ),
        pytest.param([A, claim("B", 2), voiding("B", 1, 0)], "B", 2, 0, id="a claim within reach is not voided"),
        pytest.param(
            [claim("A", FAR_EPOCH - 1), claim("B", FAR_EPOCH), voiding("B", 1, FAR_EPOCH - 1)],
            "B",
            FAR_EPOCH,
            0,
            id="nor is one that is not far from the epoch that the voiding says",
        ),
        pytest.param([GREATEST, voiding("F", 0, -1)], "F", LAST_EPOCH, 0, id="no epoch lies below 0"),
        pytest.param(
            [GREATEST, voiding("F", 0, FAR_EPOCH)], "F", LAST_EPOCH, 0, id="a voiding does not say one out of reach"
        ),
        pytest.param([GREATEST, voiding("F", 0)], "F", LAST_EPOCH, 0, id="nor none, where the rules are known"),
        pytest.param([A, FORGED, record("A", 0, "c", "s", 0)], "A", 1, 2, id="newer rules stop the reader"),
        pytest.param(
            [A, FORGED, record("A", 0, "c", "s", 0), voiding("F", 1)], "A", 1, 0, id="a voiding further on lets it pass"
        ),
        pytest.param(
            [A, FORGED, record("F", 0, "c", "s", 0), voiding("F", 1)], "A", 1, 0, id="and the claim does not count"
        ),
        pytest.param([A, voiding("F", 2), FORGED], "A", 1, 1, id="one that lies before it does not"),
        pytest.param([A, FORGED, voiding("G", 1)], "A", 1, 2, id="nor one that names another writer"),
        pytest.param([A, FORGED, voiding("F", 0)], "A", 1, 2, id="nor one that names another offset"),
        pytest.param([A, FORGED, voiding("F", 1, 1)], "A", 1, 2, id="nor one that says an epoch"),
        pytest.param(
            [
                A,
                record("A", 0, "c", "s", 0, count=2),
                FORGED,
                record("A", 1, "c", "s", 0, index=1, count=2),
                voiding("F", 2),
            ],
            "A",
            1,
            0,
            id="an open group goes on behind a claim that is taken out",
        ),
        pytest.param(
            [A, record("A", 0, "c", "s", 0), voiding("A", 1), record("A", 1, "d", "s", 1)],
            "A",
            1,
            0,
            id="an event is never voided",
        ),
    ],
)
def test_a_voiding(log: list[Envelope], writer: str | None, epoch: int, left: int) -> None:
    """What an operator can take out, by rows and by the model, in one chunk and record by record."""
    for folded in (model(log), by_rows(log), by_rows(log, range(1, len(log))), by_columns(log, range(1, len(log)))[0]):
        assert folded.state.writer == (named(writer) if writer else None)
        assert (folded.state.epoch, folded.left) == (epoch, left)
        assert folded.effects == model(log).effects


@st.composite
def logs(draw: st.DrawFn) -> list[Envelope]:
    """Logs of two believing writers with every fault the rules know: gaps, repeats, wrong bases, cut groups, foreign records."""
    log: list[Envelope] = []
    epoch, seqs, versions = 0, dict.fromkeys("ABC", 0), dict.fromkeys("st", 0)
    for step in range(draw(st.integers(1, 25))):
        move = draw(st.sampled_from(["claim", *["group"] * 6, "foreign", "stray", "forged", "voiding"]))
        writer = draw(st.sampled_from("ABC"))
        if move == "claim":
            ahead = draw(st.sampled_from([0, 1, 1, 1, 2, MOST_AHEAD, MOST_AHEAD + 1, 10**9]))
            log.append(claim(writer, epoch + ahead, draw(st.sampled_from([1, 2]))))
            epoch += ahead if ahead <= MOST_AHEAD else 0
            seqs[writer] = 0
        elif move == "forged":
            log.append(claim("F", *draw(st.sampled_from([(LAST_EPOCH, 1), (FAR_EPOCH, 1), (epoch + 1, RULES + 1)]))))
        elif move == "voiding":
            offset = draw(st.integers(max(0, len(log) - 4), len(log)))
            log.append(voiding(draw(st.sampled_from("FFA")), offset, draw(st.sampled_from([None, epoch, epoch + 1]))))
        elif move == "foreign":
            log.append(None)
        else:
            stream, count = draw(st.sampled_from("st")), draw(st.integers(1, 3))
            command = draw(st.sampled_from([f"n{step}", f"n{step}", f"n{step}", "again"]))
            base = versions[stream] + draw(st.sampled_from([0] * 8 + [1, -1]))
            seq = seqs[writer] + draw(st.sampled_from([0] * 8 + [1, -1]))
            records = group(writer, max(seq, 0), command, stream, max(base, 0), count, command_offset=step)
            if draw(st.integers(0, 9)) == 0:
                records = [
                    record(writer, max(seq, 0), command, stream, max(base, 0), rejected=True, command_offset=step)
                ]
            if draw(st.integers(0, 7)) == 0:
                del records[draw(st.integers(0, len(records) - 1))]
            log += records
            seqs[writer] = max(seq, 0) + len(records)
            versions[stream] = model(log).versions.get(stream, 0)
    return log


@settings(max_examples=300, deadline=None)
@given(logs(), st.data())
def test_any_chunking_gives_the_same(log: list[Envelope], data: st.DataObject) -> None:
    """Refolded with random chunk sizes, by rows or by columns, a log comes to what the model says."""
    cuts = data.draw(st.lists(st.integers(1, max(1, len(log))), max_size=6))
    expected = model(log)
    assert by_rows(log) == expected
    assert by_rows(log, cuts) == expected
    assert by_columns(log, cuts)[0] == expected


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("stu"), st.integers(1, 4), st.booleans()), min_size=1, max_size=30),
    st.integers(1, 40),
)
def test_valid_logs_need_no_rows(groups: list[tuple[str, int, bool]], cut: int) -> None:
    """What an undisturbed handler appends is judged by columns alone, chunk by chunk."""
    log: list[Envelope] = [A]
    versions, seq = dict[str, int](), 0
    for i, (stream, count, rejected) in enumerate(groups):
        base = versions.get(stream, 0)
        records: list[Meta] = (
            [record("A", seq, f"c{i}", stream, base, rejected=True)]
            if rejected
            else group("A", seq, f"c{i}", stream, base, count)
        )
        log += records
        seq += len(records)
        versions[stream] = base + (0 if rejected else count)
    folded, used = by_columns(log, [1, cut])
    assert folded == by_rows(log) == model(log)
    assert folded.left == 0
    assert used >= 1


def test_folded_differs_when_a_rule_is_left_out() -> None:
    """The comparison can fail: without the epoch check the zombie's record would count."""
    log: list[Envelope] = [claim("A", 2), claim("B", 1), record("B", 0, "x", "s", 0)]
    assert by_rows(log).effects == []
    assert by_rows([claim("B", 1), record("B", 0, "x", "s", 0)]).effects != []
    assert by_rows(log) != Folded()
    assert CATEGORY == "retail.basket"
