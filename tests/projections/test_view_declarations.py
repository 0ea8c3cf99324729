"""A faulty view declaration is refused when it is loaded, with one sentence that names the place."""

from dataclasses import replace
from typing import Any

import pytest

from refold.projections.declaring.declaration import View
from refold.projections.declaring.view_sql import fault_of
from refold.projections.errors import BadDeclaration
from refold.projections.tables.declared import declared_of
from refold.projections.tables.view_order import in_order, tables_read
from tests.projections.sample import MODELS

TOTALS = View(
    name="totals",
    domain="sample",
    description="Sums by owner.",
    columns={"owner": ("text", "Who."), "amount": ("numeric(38,2)", "How much.")},
    key=("owner",),
    reads=("by_owner",),
    sql="SELECT owner, sum(amount) AS amount FROM sample.by_owner GROUP BY owner",
)
LARGEST = replace(TOTALS, name="largest", reads=("totals",), sql="SELECT owner, amount FROM sample.totals")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 -- a comment at the end; it's fine",
        "SELECT ';', $$;)$$, $tag$ ' ; $tag$, E'\\';', \"a;b)\" /* ; /* ' */ */",
        "(SELECT 1) UNION (SELECT 2)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "\n  values (1)\n",
        "SELECT a$b$ FROM t",
    ],
)
def test_one_whole_query_is_left_to_postgres(sql: str) -> None:
    assert fault_of(sql) is None


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1;", "semicolon at line 1, column 9"),
        ("SELECT 1;\nDROP SCHEMA refold", "semicolon at line 1, column 9"),
        ("SELECT 1\n) AS x, (SELECT 2", "parenthesis closes at line 2, column 1"),
        ("SELECT (1", "parenthesis is not closed"),
        ("SELECT 'a", "text is not closed, from line 1, column 8"),
        ('SELECT "a', "quoted name is not closed"),
        ("SELECT /* a /* b */", "comment is not closed"),
        ("DELETE FROM sample.by_owner", "begins with SELECT or WITH, not with DELETE"),
        ("-- nothing", "not with nothing"),
        ("SELECT '\0'", "NUL"),
    ],
)
def test_what_is_not_one_whole_query_is_refused_with_its_place(sql: str, said: str) -> None:
    with pytest.raises(BadDeclaration, match=r"^totals: ") as refused:
        replace(TOTALS, sql=sql)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": ("store",)}, "its key names store"),
        ({"key": ()}, "its key is empty"),
        ({"key": "owner"}, "its key is a tuple of columns"),
        ({"columns": {"owner": "text"}}, 'such as ("bigint", "Its text."), not \'text\''),
        ({"key": ("owner", "owner")}, "names a column twice"),
        ({"reads": ()}, "`reads` is a tuple"),
        ({"reads": "by_owner"}, "`reads` is a tuple"),
        ({"columns": {"owner": ("text) , (SELECT 1", "Who.")}}, "no name of a Postgres type"),
        ({"columns": {"owner": ("text", "W\0")}}, r"totals: owner is described by 'W\x00', which is no text"),
        ({"description": 5}, "totals: it is described by 5, which is no text"),
        ({"sql": "SELECT '\ud800' AS owner"}, "half a surrogate pair"),
    ],
)
def test_what_cannot_be_served_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadDeclaration) as refused:
        replace(TOTALS, **change)
    assert said in refused.value.message


def test_views_over_views_come_behind_what_they_read_and_down_to_tables() -> None:
    both = replace(TOTALS, name="both", reads=("largest", "accounts"))
    views = in_order((both, LARGEST, *MODELS, TOTALS))
    assert [view.name for view in views] == ["totals", "largest", "both"]
    assert tables_read(views)["sample", "both"] == ("by_owner", "accounts")
    assert declared_of((both, LARGEST, *MODELS, TOTALS)).views == views


@pytest.mark.parametrize(
    ("views", "said"),
    [
        ((replace(TOTALS, reads=("nothing",)),), "totals: `reads` names nothing, which sample does not have"),
        ((replace(TOTALS, reads=("totals",)),), "views read each other: sample.totals -> sample.totals"),
        ((replace(TOTALS, reads=("largest",)), LARGEST), "views read each other: sample."),
        ((replace(TOTALS, reads=("other.by_owner",)),), "a view reads its own domain alone"),
        ((replace(TOTALS, domain="other"),), "a view reads its own domain alone"),
        ((replace(TOTALS, name="accounts"),), "sample.accounts is declared 2 times"),
    ],
)
def test_what_a_view_reads_is_known_before_postgres_is_asked(views: tuple[View, ...], said: str) -> None:
    with pytest.raises(BadDeclaration) as refused:
        declared_of((*MODELS, *views))
    assert said in refused.value.message


@pytest.mark.parametrize(
    "kind", ["numeric", "NUMERIC", "decimal", "dec", "numeric(39,2)", "numeric(5,6)", "numeric(0,0)", "numeric[]"]
)
def test_a_decimal_says_its_places(kind: str) -> None:
    with pytest.raises(BadDeclaration, match=r"totals.amount: .* write numeric\(38,2\)"):
        replace(TOTALS, columns={"owner": ("text", "Who."), "amount": (kind, "How much.")})


@pytest.mark.parametrize(
    "kind", ["numeric(38,2)", "decimal(12, 2)", "numeric(7)", "numeric(38,38)", "numeric(5,1)[]", "bigint"]
)
def test_one_with_places_is_taken(kind: str) -> None:
    assert (
        replace(TOTALS, columns={"owner": ("text", "Who."), "amount": (kind, "How much.")}).columns["amount"][0] == kind
    )
