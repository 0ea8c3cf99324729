"""A comparison of two tables counts each row that differs once, with its key and its differing columns."""

import pytest
from psycopg import sql

from refold.projections.declaring.declaration import Rollup
from refold.projections.declaring.gathering import key
from refold.projections.replay.compare import Compared, Difference, compare
from refold.projections.tables import builds, tables
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout, layout_of
from refold.streams.postgres.connection import Database
from tests.projections.sample import ACCOUNTS, paid, spent

BY_OWNER = Rollup(
    name="t",
    domain="sample",
    description="Names that a comparison might use itself.",
    key={"key": key("owner", "Who, or nobody.")},
    columns={
        "t": spent.count("All."),
        "whole": spent.last("amount", "Last."),
        "place": spent.max("amount", "Most."),
    },
)

BY_NUMBER = Rollup(
    name="t",
    domain="sample",
    description="Payments by a number.",
    key={"number": key("points", "A number.")},
    columns={"payments": paid.count("All.")},
)


@pytest.fixture
def both(db: Database) -> tuple[Layout, Build, Build]:
    """The same four rows in a shadow and a serving table; one key is null, and so are some values."""
    layout = layout_of(BY_OWNER)
    made = []
    for status in ("shadow", "serving"):
        build = builds.create(db, layout, "f", status)
        tables.create(db, layout, build)
        db.execute(
            sql.SQL(
                "INSERT INTO {} VALUES ('a', 1, 1.10, NULL), ('', 2, NULL, 2), (NULL, 3, 3, 'NaN'), ('d', 4, 4, 4)"
            ).format(sql.Identifier(build.schema, layout.name))
        )
        made.append(build)
    return layout, made[0], made[1]


def change(db: Database, both: tuple[Layout, Build, Build], statement: str) -> Compared:
    layout, shadow, serving = both
    db.execute(sql.SQL(statement).format(sql.Identifier(serving.schema, layout.name)))
    return compare(db, layout, shadow, serving)


@pytest.mark.usefixtures("servers")
def test_equal_tables_do_not_differ_also_in_nulls_and_nan(db: Database, both: tuple[Layout, Build, Build]) -> None:
    assert compare(db, *both) == Compared(4, 4, 0, 0, 0)


@pytest.mark.usefixtures("servers")
def test_a_changed_row_is_one_and_named_also_by_a_null_key(db: Database, both: tuple[Layout, Build, Build]) -> None:
    found = change(db, both, "UPDATE {} SET t = 9, whole = NULL WHERE key IS NULL")
    assert (found.changed, found.missing, found.extra, found.columns) == (1, 0, 0, {"t": 1, "whole": 1})
    assert found.listed == [Difference({"key": None}, "changed", {"t": ("9", "3"), "whole": (None, "3.00")})]


@pytest.mark.usefixtures("servers")
def test_a_hidden_column_counts_since_it_decides_what_comes_later(
    db: Database, both: tuple[Layout, Build, Build]
) -> None:
    ((hidden,),) = [[part.name] for part in both[0].stored if part.doc is None]
    found = change(db, both, f"UPDATE {{}} SET {hidden} = 'z' WHERE key = ''")
    assert found.listed == [Difference({"key": ""}, "changed", {hidden: ("z", None)})]


@pytest.mark.usefixtures("servers")
def test_rows_that_one_side_lacks_are_told_from_changed_ones(db: Database, both: tuple[Layout, Build, Build]) -> None:
    found = change(db, both, "UPDATE {} SET key = 'moved' WHERE key = 'd'")
    assert (found.changed, found.missing, found.extra, found.differing) == (0, 1, 1, 2)
    assert [(one.kind, one.key) for one in found.listed] == [("missing", {"key": "d"}), ("extra", {"key": "moved"})]
    emptied = change(db, both, "DELETE FROM {}")
    assert (emptied.missing, [one.key["key"] for one in emptied.listed]) == (4, ["", "a", "d", None])


@pytest.mark.usefixtures("servers")
def test_rows_are_listed_in_the_order_of_their_keys_whichever_side_has_them(db: Database) -> None:
    layout = layout_of(BY_NUMBER)
    made = []
    for status, numbers in (("shadow", [7, 100]), ("serving", [1000, 20, 9, 7, 3])):
        build = builds.create(db, layout, "f", status)
        tables.create(db, layout, build)
        for number in numbers:
            add = sql.SQL("INSERT INTO {} (number, payments) VALUES (%s, %s)")
            db.execute(add.format(sql.Identifier(build.schema, layout.name)), (number, len(numbers)))
        made.append(build)
    found = compare(db, layout, *made)
    assert [(one.key["number"], one.kind) for one in found.listed] == [
        ("3", "extra"), ("7", "changed"), ("9", "extra"), ("20", "extra"), ("100", "missing"), ("1000", "extra")
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("refold.projections.replay.compare.LISTED", 2)
        assert [one.key["number"] for one in compare(db, layout, *made).listed] == ["3", "7"]


@pytest.mark.usefixtures("servers")
def test_all_differing_rows_are_counted_and_some_of_them_listed(db: Database) -> None:
    layout = layout_of(ACCOUNTS)
    made = []
    for number, status in enumerate(("shadow", "serving")):
        build = builds.create(db, layout, "f", status)
        tables.create(db, layout, build)
        db.execute(
            sql.SQL(
                "INSERT INTO {} (account, payments, amount, owners, sizes, _values_1, _values_2, _version, _deleted) SELECT 'a' || n, n + %s, 0, 0, 0, 0, 0, 1, 0 FROM generate_series(1, 1500) n"
            ).format(sql.Identifier(build.schema, layout.name)),
            (number,),
        )
        made.append(build)
    found = compare(db, layout, *made)
    assert (found.changed, len(found.listed), found.columns) == (1500, 1000, {"payments": 1500})
