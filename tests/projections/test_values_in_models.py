"""Values and conditions in whole models: folded in each way, the rows are those of a plain loop over the events."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from refold.projections import OCCURRED_AT, BadDeclaration, Rollup, coalesce, events, key, month
from refold.projections.declaring.conditions import Condition, Value
from refold.projections.declaring.gathering import Column
from refold.schemas.columns import envelope as m
from refold.testing import event_at, rows
from tests.projections import naive_values
from tests.projections.test_values import ASKED, EVENTS, SAMPLES, UNFIT, WORD, Again, Sample, conditions, numbers, texts

START = datetime(2026, 1, 31, 23, tzinfo=UTC)
TOLD = events(SAMPLES, Sample, Again)
LOG = st.lists(st.tuples(EVENTS, st.booleans(), st.sampled_from(["s", "t"])), min_size=1, max_size=3)


def get_of(place: int, event: Sample, stream: str) -> naive_values.Get:
    envelope = {m.STREAM: stream, m.OCCURRED_AT: START + timedelta(minutes=place), "m_class": type(event)}
    return lambda name: envelope[name] if name in envelope else getattr(event, name)


def gathered(column: Column, group: list[naive_values.Get]) -> Any:
    held = [get for get in group if column.of.condition is None or naive_values.holds(column.of.condition, get)]
    if column.gather == "count":
        return len(held)
    values = [naive_values.value(column.value, get) for get in held]
    if column.gather in {"first", "last"}:
        return (values[0] if column.gather == "first" else values[-1]) if values else None
    there = [value for value in values if value is not None]
    if column.gather == "sum":
        return sum(there)
    return (min if column.gather == "min" else max)(there, default=None)


@settings(max_examples=12, deadline=None, phases=[Phase.generate])  # shrinking takes minutes here
@given(
    by=numbers() | texts(), number=numbers(), text=texts() | numbers(), holds=conditions(numbers()), asked=st.sampled_from(ASKED), log=LOG
)  # fmt: skip
def test_a_model_of_values_has_the_rows_of_a_plain_loop(
    by: Value, number: Value, text: Value, holds: Condition, asked: Condition, log: list[tuple[Sample, bool, str]]
) -> None:
    try:
        model = Rollup(
            name="model", domain="test", description="Values.", key={"by": key(by, "By."), "word": key(WORD, "Word.")},
            columns={
                "events": TOLD.count("All."),
                "held": TOLD.where(holds).count("Some."),
                "asked": TOLD.where(asked).sum(number, "Of some."),
                "sum": TOLD.where(holds).sum(number, "Sum."),
                "all": TOLD.sum(number, "Sum of all."),
                "least": TOLD.min(text, "Least."),
                "most": TOLD.where(asked).max(text, "Greatest."),
                "first": TOLD.where(holds).first(text, "First."),
                "last": TOLD.last(by, "Last."),
            },
        )  # fmt: skip
    except BadDeclaration as refused:
        assume(all(words not in refused.message for words in UNFIT))
        raise
    told = [Again(**cells(event)) if again else event for event, again, _ in log]
    gets = [get_of(place, event, stream) for place, (event, (_, _, stream)) in enumerate(zip(told, log, strict=True))]
    groups: dict[Any, list[naive_values.Get]] = {}
    for get in gets:
        groups.setdefault((naive_values.value(by, get), naive_values.value(WORD, get)), []).append(get)
    happened = [event_at(log[n][2], START + timedelta(minutes=n), event) for n, event in enumerate(told)]
    found = {(naive_values.plain(row.pop("by")), row.pop("word")): row for row in rows(model, happened)}
    assert {at: {name: naive_values.plain(cell) for name, cell in row.items()} for at, row in found.items()} == {
        at: {name: gathered(column, group) for name, column in model.columns.items()} for at, group in groups.items()
    }


def cells(event: Sample) -> dict[str, Any]:
    return {name: getattr(event, name) for name in Sample.__struct_fields__}


@settings(max_examples=20, deadline=None)
@given(event=EVENTS)
def test_a_part_of_the_calendar_is_taken_of_a_value_too(event: Sample) -> None:
    by = key(month(coalesce("then", OCCURRED_AT), "Europe/Berlin"), "Month.")
    model = Rollup(
        name="model", domain="test", description="Months.", key={"by": by}, columns={"events": TOLD.count("All.")}
    )
    (row,) = rows(model, [event_at("s", START, event)])
    plain = Rollup(
        name="model", domain="test", description="Months.",
        key={"by": key(month("then" if event.then else OCCURRED_AT, "Europe/Berlin"), "Month.")},
        columns={"events": TOLD.count("All.")},
    )  # fmt: skip
    assert [row] == rows(plain, [event_at("s", START, event)])
