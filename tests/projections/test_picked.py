"""Quantiles and most common values: the naive fold's and Postgres's, in any chunks and flushes, live and rebuilt, to the byte."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.projections import Rollup, field, key, ratio
from refold.projections.declaring.conditions import Condition
from refold.projections.declaring.declaration import Model
from refold.projections.errors import BadDeclaration
from refold.projections.partials import merge_sql
from refold.projections.partials.partial import merged, partial_of
from refold.projections.replay.compare import compare
from refold.projections.tables.declared import declared_of
from refold.projections.tables.fingerprint import fingerprint
from refold.projections.tables.layout import layout_of
from refold.projections.tables.lineage import lineages_of
from refold.streams.postgres.connection import Database
from refold.testing import event_at, rows
from tests.projections.naive import naive_rows
from tests.projections.sample import BY_OWNER, Closed, Opened, Paid, log_of, paid
from tests.projections.test_aggregates import both, entity, rollup, shown
from tests.projections.test_distinct import FIELDS, LISTED, account, add_at_once, example, made, typed
from tests.projections.test_partial import frames_of
from tests.projections.typed import CONDITIONS, EVENTS, LOGS
from tests.projections.typed import log_of as typed_log

ORDERED = (
    "at",
    "on",
    "amount",
    "precise",
    "number",
    "big",
    "at_or_none",
    "on_or_none",
    "amount_or_none",
    "big_or_none",
)
SHARES = [0, 0.001, 0.25, 0.5, Decimal("0.9"), 0.999, 1]


def picked(some: Any, q: Any = 0.9) -> dict[str, Any]:
    """Each field's most common value, a quantile and the median of those that have one, and of some expressions."""
    return (
        {f"c_{name}": some.most_common(name, "Common.") for name in FIELDS}
        | {f"q_{name}": some.quantile(name, q, "Quantile.") for name in ORDERED}
        | {f"m_{name}": some.median(name, "Median.") for name in ORDERED}
        | {"sums": some.median(field("amount") + field("number"), "Median."), "events": some.count("Events.")}
    )


@settings(max_examples=40, deadline=None)
@given(log=LOGS, condition=CONDITIONS, cut=st.integers(0, 12), keyed=st.booleans(), q=st.sampled_from(SHARES))
def test_values_of_every_type_are_picked_as_by_the_naive_fold(
    log: list[Any], condition: Condition, cut: int, keyed: bool, q: Any
) -> None:
    columns, happened = picked(typed.where(condition), q), typed_log(log)
    model: Model = rollup(columns) if keyed else entity(columns)
    layout = layout_of(model)
    whole, left, right = (both(layout, piece) for piece in (happened, happened[:cut], happened[cut:]))
    assert shown(layout, whole) == naive_rows(model, happened)
    assert merged(layout, [right, left]).equals(whole)


@pytest.mark.usefixtures("servers")
def test_postgres_picks_the_same_values(db: Database) -> None:
    """Each field's values by a text that may be null, from a table of the same events."""
    by = {"by": key("text_or_none", "Key.")}
    picks = Rollup(name="picks", domain="typed", description="Picked.", key=by, columns=picked(typed, 0.25))
    chosen = st.lists(st.tuples(st.sampled_from("abA"), EVENTS, st.integers(0, 3)), min_size=40, max_size=60)
    log = typed_log(example(chosen))
    of_picks, of_events = (made(db, layout_of(model)) for model in (picks, LISTED))
    for model, build in ((picks, of_picks), (LISTED, of_events)):
        for start in range(0, len(log), 7):
            merge_sql.add(db, layout_of(model), build.schema, both(layout_of(model), log[start : start + 7]))
    ours = [f"c_{name}" for name in FIELDS] + [f"{kind}_{name}" for name in ORDERED for kind in "qm"]
    theirs = [f'mode() WITHIN GROUP (ORDER BY "{name}")' for name in FIELDS]
    theirs += [f'percentile_disc({q}) WITHIN GROUP (ORDER BY "{name}")' for name in ORDERED for q in (0.25, 0.5)]
    found = db.execute(f"SELECT by, {', '.join(ours)} FROM {of_picks.schema}.picks ORDER BY 1".encode()).fetchall()
    asked = f"SELECT text_or_none, {', '.join(theirs)} FROM {of_events.schema}.listed GROUP BY 1 ORDER BY 1"
    assert found == db.execute(asked.encode()).fetchall()
    assert any(None in row for row in found)


@pytest.mark.usefixtures("servers")
def test_tables_of_equal_picks_differ_if_the_numbers_of_their_values_do(db: Database) -> None:
    layout = layout_of(BY_OWNER)
    once = Paid(amount=Decimal("1.25"), points=4, huge=5, owner=None)
    partial = partial_of(layout, frames_of(log_of([("a", once, 0), ("b", once, 1)])))
    ours, theirs = made(db, layout, status="shadow"), made(db, layout, status="serving")
    for build in (ours, theirs):
        merge_sql.add(db, layout, build.schema, partial)
    assert compare(db, layout, ours, theirs).differing == 0
    db.execute(f'UPDATE {theirs.schema}."Values3" SET "Count" = "Count" + 1'.encode())
    found = compare(db, layout, ours, theirs)
    assert (found.changed, found.columns) == (1, {"_values_1": 1})


@pytest.mark.usefixtures("servers")
def test_two_processes_that_add_to_one_row_at_once_pick_from_the_values_of_both(db: Database, database: str) -> None:
    layout = layout_of(BY_OWNER)
    build = made(db, layout)
    amounts = [Decimal("1.25"), Decimal("7.00"), Decimal("3.00")]
    happened = [Paid(amount=amount, points=4, huge=5, owner="ann") for amount in amounts]
    one, other_one = happened[:2], happened[2:]
    partials = [
        partial_of(layout, frames_of(log_of([(stream, event, 0) for event in some])))
        for stream, some in (("a", one), ("b", other_one))
    ]

    add_at_once(db, database, layout, build, partials)
    found = db.execute(f"SELECT middle, nine_tenths, often FROM {build.schema}.by_owner".encode()).fetchall()
    assert found == [(Decimal("3.00"), Decimal("7.00"), "a")]


def test_rows_and_shown_columns_have_what_is_picked() -> None:
    columns = {
        "middle": paid.median("amount", "Middle."),
        "most": paid.quantile("amount", 1, "Greatest."),
        "usual": paid.most_common("owner", "Most common."),
        "n": paid.count("Payments."),
    }
    model = account(columns, deleted_when=Closed, shown={"each": ratio("middle", "n", scale=3, doc="Part.")})

    def at(stream: str, minute: int, event: Any) -> Any:
        return event_at(stream, f"2026-01-01T10:{minute:02}Z", event)

    def pays(amount: str, owner: str | None) -> Paid:
        return Paid(amount=Decimal(amount), points=1, huge=1, owner=owner)

    happened = [
        *(at("a", n, pays(*one)) for n, one in enumerate([("1.00", "bob"), ("2.00", None), ("2.50", "ann"), ("9.00", None)])),
        at("b", 5, pays("7.00", "eve")), at("b", 6, Closed()), at("b", 7, pays("1.00", "x" * 5000)),
        at("c", 8, pays("7.00", "eve")), at("c", 9, Closed()), at("c", 10, Opened()),
    ]  # fmt: skip
    found = [
        (row["account"], row["middle"], row["most"], (row["usual"] or "")[:70], row["each"])
        for row in rows(model, happened)
    ]
    assert [tuple(map(str, row)) for row in found] == [
        ("a", "2.00", "9.00", "ann", "0.500"),
        ("b", "1.00", "1.00", "x" * 64 + "~sha25", "1.000"),
    ]


@pytest.mark.parametrize(
    "q", [-0.1, 1.01, 90, float("nan"), float("inf"), True, "0.5", None, Decimal(-1), Decimal("NaN")]
)
def test_a_share_that_is_none_is_refused(q: Any) -> None:
    with pytest.raises(BadDeclaration, match=r"quantile\(\) takes a share from 0 to 1, such as 0.9, not "):
        paid.quantile("amount", q, "Q.")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: paid.quantile("amount", 1 / 3, "Q."), "a share of at most 9 decimal places, not 0.333"),
        (lambda: account({"q": paid.median("owner", "Q.")}), r"owners\.q: only numbers, dates and times .* not text"),
        (lambda: account({"q": paid.median("nobody", "Q.")}), "nobody"),
        (lambda: account({"q": paid.median("amount", "")}), r"owners\.q has no text: .* not quantile\(\)"),
    ],
)
def test_a_quantile_that_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(BadDeclaration, match=message):
        make()


def test_equal_shares_are_one_declaration_and_columns_share_their_values() -> None:
    half = account({"q": paid.quantile("amount", Decimal("0.50"), "Q."), "n": paid.median("amount", "N.")})
    assert fingerprint(half) == fingerprint(
        account({"q": paid.median("amount", "Q."), "n": paid.median("amount", "N.")})
    )
    assert fingerprint(half) != fingerprint(
        account({"q": paid.quantile("amount", 0.51, "Q."), "n": paid.median("amount", "N.")})
    )
    assert len(layout_of(half).sides) == 1
    origin = lineages_of(declared_of([half]))["sample", "owners"].columns["q"]
    assert (origin.gather, origin.value) == ("quantile", "amount at 0.5")


@pytest.mark.usefixtures("servers")
def test_picked_columns_may_be_called_as_the_statements_call_theirs(db: Database) -> None:
    names = ["f", "v", "s", "p", "place", "value", "count", "total", "reached", "picked"]
    columns = {name: typed.quantile("number", n / 10, "Q.") for n, name in enumerate(names)}
    model = Rollup(
        name="side", domain="typed", description="Named.", key={"t": key("text_or_none", "Key.")}, columns=columns
    )
    layout, log = (
        layout_of(model),
        typed_log(example(st.lists(st.tuples(st.just("a"), EVENTS, st.just(1)), min_size=30))),
    )
    build = made(db, layout)
    for start in range(0, len(log), 7):
        merge_sql.add(db, layout, build.schema, both(layout, log[start : start + 7]))
    found = db.execute(
        f"SELECT t, {', '.join(names)} FROM {build.schema}.side ORDER BY t NULLS FIRST".encode()
    ).fetchall()
    assert found == [tuple(row.values()) for row in naive_rows(model, log)]
