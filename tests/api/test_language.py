"""The grammar of reads, without a read model: what is read, what is refused and where, and that a printed tree is read as the same."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refold.api.errors import ApiError, CursorInvalid, FilterInvalid, OrderInvalid, UnknownOperator, UnknownParameter
from refold.api.http.reads.language import filters
from refold.api.http.reads.language.printing import printed
from refold.api.http.reads.language.query_string import PARAMETERS, RESERVED, read_query
from refold.api.http.reads.language.tree import Column, Condition, Embedded, Group, Query, Star, Term
from refold.api.reading_errors import QueryTooLarge, SelectInvalid

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NAMES = st.sampled_from(["day", "store_id", "a b", "order", "count", "not", "x.y", 'say "hi"', "ü", "a-b", "*"])
CASTS = st.none() | st.sampled_from(["text", "double precision", "integer[]"])
ALIASES = st.none() | NAMES


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    operator = draw(st.sampled_from(filters.OPERATORS))
    modifiers: list[str | None] = [None]
    modifiers += ["any", "all"] if operator in filters.MODIFIED else ["simple"] if operator in filters.FULL_TEXT else []
    if operator == "in":
        elements = tuple(draw(st.lists(TEXT, max_size=4)))
        value: str | tuple[str, ...] = () if elements == ("",) else elements
    else:
        value = draw(st.sampled_from(filters.STATES)) if operator == "is" else draw(TEXT)
    return Condition(draw(NAMES), operator, value, draw(st.booleans()), draw(st.sampled_from(modifiers)))  # type: ignore[arg-type]  # drawn from the operators


GROUPS = st.recursive(
    conditions(),
    lambda parts: st.builds(
        Group, st.sampled_from(["and", "or"]), st.lists(parts, min_size=1, max_size=3).map(tuple), st.booleans()
    ),
    max_leaves=6,
)
AGGREGATES = st.sampled_from(["count", "sum", "avg", "min", "max"])
COLUMNS = (
    st.builds(Column, NAMES, ALIASES, CASTS)
    | st.builds(Column, NAMES, ALIASES, CASTS, AGGREGATES, CASTS)
    | st.builds(Column, st.none(), ALIASES, st.none(), st.just("count"), CASTS)
)
ITEMS = st.recursive(
    st.lists(COLUMNS | st.just(Star()), max_size=4).map(tuple),
    lambda items: st.lists(
        COLUMNS
        | st.builds(Embedded, NAMES, items, ALIASES, st.none() | st.just("key"), st.sampled_from(["left", "inner"])),
        max_size=3,
    ).map(tuple),
    max_leaves=4,
)
TERMS = st.lists(
    st.builds(Term, NAMES, st.booleans(), st.none() | st.booleans()), max_size=3, unique_by=lambda t: t.column
)
PATHS = st.just(()) | st.lists(NAMES, min_size=1, max_size=2).map(tuple)
QUERIES = st.builds(
    Query,
    ITEMS.filter(bool),
    st.lists(st.tuples(PATHS, GROUPS), max_size=4).map(tuple),
    TERMS.map(tuple),
    st.none() | st.integers(-5, 5000),
    st.just(0),
    st.none() | st.just("abc"),
)


@given(QUERIES)
def test_a_printed_tree_is_read_as_the_same_tree(query: Query) -> None:
    assert read_query(printed(query).encode()) == query


def test_an_empty_cursor_is_the_first_page() -> None:
    assert read_query(b"cursor=&offset=3&limit=2") == read_query(b"offset=3&limit=2")


def test_an_offset_of_no_row_may_stand_beside_a_cursor_and_no_other() -> None:
    assert read_query(b"cursor=abc&offset=0").cursor == "abc"
    with pytest.raises(CursorInvalid):
        read_query(b"cursor=abc&offset=1")


PIECES = st.sampled_from([*'.,()"\\*:!{}<>= \0ü%', "eq.", "in.(", "and(", "not.", "any", "day", "select", "1"])


def query_of(raw: bytes) -> Query | None:
    """The query, or None if it is refused as a client's mistake. Nothing else may come out."""
    try:
        return read_query(raw)
    except ApiError as found:
        problem = found
    assert problem.status == 400
    assert problem.message.isascii()
    return None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*PARAMETERS, *RESERVED, "day", "x.day", "x.or", "not.and", '"', ""]) | TEXT,
            st.lists(PIECES | TEXT, max_size=8).map("".join),
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_any_text_is_a_query_or_one_of_our_errors(parts: list[tuple[str, str]], encoded: bool) -> None:
    write = quote if encoded else lambda text: text.replace("&", "")
    raw = "&".join(f"{write(name)}={write(value)}" for name, value in parts).encode()
    query = query_of(raw)
    assert query is None or read_query(printed(query).encode()) == query


@given(st.binary(max_size=30))
def test_any_bytes_are_a_query_or_one_of_our_errors(raw: bytes) -> None:
    query = query_of(raw)
    assert query is None or read_query(printed(query).encode()) == query


def condition(text: str) -> Condition:
    ((_, found),) = read_query(text.encode()).filters
    assert isinstance(found, Condition)
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a=eq.1", Condition("a", "eq", "1")),
        ("a=eq.", Condition("a", "eq", "")),
        ("a=eq.not.eq.5", Condition("a", "eq", "not.eq.5")),
        ("a=not.eq.5", Condition("a", "eq", "5", negated=True)),
        ('a=eq."q"', Condition("a", "eq", '"q"')),
        ("a=eq.x+y%2Bz", Condition("a", "eq", "x y+z")),
        ("a=in.(1,2)", Condition("a", "in", ("1", "2"))),
        ("a=in.()", Condition("a", "in", ())),
        ("a=in.(  )", Condition("a", "in", ())),
        ("a=in.( ,3)", Condition("a", "in", ("", "3"))),
        ('a=in.("x,y",b"c,"d\\"e\\\\")', Condition("a", "in", ("x,y", 'b"c', 'd"e\\'))),
        ('a=in.("x"y,z)', Condition("a", "in", ('"x"y', "z"))),
        ("a=not.in.(x y , z)", Condition("a", "in", ("x y ", " z"), negated=True)),
        ("a=like(any).{x*,y}", Condition("a", "like", "{x*,y}", modifier="any")),
        ("a=fts(simple).x", Condition("a", "fts", "x", modifier="simple")),
        ("a=is.NOT_NULL", Condition("a", "is", "not_null")),
        ('"order"=gt.2', Condition("order", "gt", "2")),
        ("a b=lt.1", Condition("a b", "lt", "1")),
    ],
)
def test_a_filter_is_read(text: str, wanted: Condition) -> None:
    assert condition(text) == wanted


def test_trees_are_read_with_their_quotes_and_spaces() -> None:
    ((_, found),) = read_query(
        b'not.or=(a.eq.x y, and( b.not.in.("1,2",3) ,c.is.null),d.eq."e,f",g.eq(any).{1,2},h.eq.)'
    ).filters
    assert found == Group(
        "or",
        (
            Condition("a", "eq", "x y"),
            Group("and", (Condition("b", "in", ("1,2", "3"), negated=True), Condition("c", "is", "null"))),
            Condition("d", "eq", "e,f"),
            Condition("g", "eq", "{1,2}", modifier="any"),
            Condition("h", "eq", ""),
        ),
        negated=True,
    )
    assert read_query(b"or=(and.eq.1)").filters == (((), Group("or", (Condition("and", "eq", "1"),))),)


def test_filters_of_embedded_resources_come_with_their_path() -> None:
    query = read_query(
        b"basket.total=gt.5&basket.not.or=(a.eq.1)&basket.household.order=name&basket.limit=3&x.offset=2"
    )
    assert [path for path, _ in query.filters] == [("basket",), ("basket",)]
    assert query.orders == ((("basket", "household"), (Term("name"),)),)
    assert (query.limits, query.offsets) == (((("basket",), 3),), ((("x",), 2),))


def test_select_is_read() -> None:
    query = read_query(
        b"select=*,d:day::text, count() ,n:count()::text,t:price::int.sum()::text,o:other!fk!inner(*,b(c))"
    )
    assert query.select == (
        Star(),
        Column("day", "d", "text"),
        Column(None, None, None, "count"),
        Column(None, "n", None, "count", "text"),
        Column("price", "t", "int", "sum", "text"),
        Embedded("other", (Star(), Embedded("b", (Column("c"),))), "o", "fk", "inner"),
    )
    assert read_query(b"select=").select == read_query(b"").select == (Star(),)


def test_order_is_read_and_of_a_column_that_is_there_twice_the_first_counts() -> None:
    found = read_query(b'order=a.desc.nullslast, b.nullsfirst,"c.asc".asc,a').order
    assert found == (
        Term("a", descending=True, nulls_first=False),
        Term("b", nulls_first=True),
        Term("c.asc"),
    )


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("a=5", UnknownOperator, "write a=eq.5"),
        ("a=", UnknownOperator, "write a=eq."),
        ("a=eq", UnknownOperator, "an operator ends with a dot: eq."),
        ("a=noop.0", UnknownOperator, "there is no operator 'noop'"),
        ("a=>=5", UnknownOperator, "write a=gte.5"),
        ("a>5", FilterInvalid, "write a=gt.5"),
        ("a>=5", UnknownParameter, "write a=gte.5"),
        ("a=not.not.eq.5", UnknownOperator, "there is no operator 'not'"),
        ("a=neq(any).{1}", FilterInvalid, "at character 4 a dot"),
        ("a=eq(some).{1}", FilterInvalid, "(any) or (all)"),
        ("a=fts().x", FilterInvalid, "a language"),
        ("a=is.nil", FilterInvalid, "`is` takes null, not_null"),
        ("a=in.1,2", FilterInvalid, "at character 4 `(` before a list"),
        ("a=in.(1,2", FilterInvalid, "at character 8 `)` behind a list"),
        ("a=in.(1)2", FilterInvalid, "at character 7 the end is expected; there is '2'"),
        ("or=()", FilterInvalid, "at character 2 a column"),
        ("or=a.eq.1", FilterInvalid, "at character 1 `(`"),
        ("or=(a.eq.1,b.eq.2", FilterInvalid, "the text ends"),
        ("or=(a.eq.1)x", FilterInvalid, "at character 9 the end"),
        ("or=(a.noop.1)", UnknownOperator, "there is no operator 'noop'"),
        (
            "or=(a.eq.1,shop.town.eq.2)",
            UnknownOperator,
            "written shop.or=(town.eq.VALUE), or shop.not.is.null in the tree",
        ),
        ("shop=town.eq.2", UnknownOperator, "written shop.town=eq.VALUE"),
        ("order=", OrderInvalid, "at character 1 a column"),
        ("order=a.nullslast.desc", OrderInvalid, "at character 12"),
        ("order=a.down", OrderInvalid, "at character 2"),
        ("select=id::", SelectInvalid, "at character 5 a type"),
        ("select=a,,b", SelectInvalid, "at character 3 a column"),
        ("select=a.median()", SelectInvalid, "at character 2"),
        ("select=other(a", SelectInvalid, "at character 8"),
        ("limit=ten", ApiError, "it is a whole number"),
        ("limit=1&limit=2", FilterInvalid, "is there twice"),
        ("columns=a", UnknownParameter, "to choose columns write select="),
        ("a=eq.%00", FilterInvalid, "NUL"),
        ("a=eq.%FF", FilterInvalid, "UTF-8"),
        ("a=in.(" + ",".join("1" * 1001) + ")", QueryTooLarge, "at most 1000 elements"),
        ("or=" + "(and" * 21 + "(a.eq.1" + ")" * 22, QueryTooLarge, "at most 20 deep"),
        ("&".join(["a=eq.1"] * 101), QueryTooLarge, "at most 100"),
        ("offset=10000001", QueryTooLarge, "at most 10000000"),
        ("order=" + ",".join(f"c{n}" for n in range(21)), QueryTooLarge, "at most 20"),
        ("select=a(b(c(d(e(f)))))", QueryTooLarge, "at most 4 deep"),
    ],
)
def test_a_query_that_cannot_be_read_names_the_place_and_what_is_expected(
    text: str, error: type[ApiError], said: str
) -> None:
    with pytest.raises(error) as found:
        read_query(text.encode())
    assert said in found.value.message
