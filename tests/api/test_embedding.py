"""Embedded resources without a server: which link a name means, what is refused and how it is told, and that values stay values."""

from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refold.api.errors import ApiError, FilterInvalid, OrderInvalid, UnknownParameter
from refold.api.http.reads.language.printing import printed
from refold.api.http.reads.language.query_string import read_query
from refold.api.http.reads.language.tree import Column, Embedded, Term
from refold.api.http.reads.planning.plan import plan_query
from refold.api.http.reads.planning.resources import together
from refold.api.reading_errors import (
    QueryTooLarge,
    RangeUnsatisfiable,
    ResourceAmbiguous,
    ResourceUnknown,
    SelectInvalid,
)
from refold.projections.tables.serving import ServedModel
from tests.api.linked import MODELS, PEOPLE, TOOLS, planned
from tests.api.test_planning import HOSTILE, IDENTIFIER, texts


def test_spread_resources_related_orders_and_hints_are_read_and_printed() -> None:
    query = read_query(
        b"select=nr,...made_by(name,...boss!inner(price)),o:people!owned_by!inner()&order=people(name).desc.nullslast,nr"
    )
    inner = Embedded("boss", (Column("price"),), join="inner", spread=True)
    assert query.select == (
        Column("nr"),
        Embedded("made_by", (Column("name"), inner), spread=True),
        Embedded("people", (), "o", "owned_by", "inner"),
    )
    assert query.order == (Term("name", descending=True, nulls_first=False, of="people"), Term("nr"))
    assert read_query(printed(query).encode()) == query


@pytest.mark.parametrize(
    ("select", "of", "links"),
    [
        ("made_by(*)", TOOLS, ["made_by"]),
        ("people!made_by(*)", TOOLS, ["made_by"]),
        ("people!owner(*)", TOOLS, ["owned_by"]),
        ("kin(*),tools(*)", TOOLS, ["kin", "tools"]),
        ("x:tools!tools(*)", TOOLS, ["tools"]),
        ("x:tools!kin(*),y:tools!owner(*)", TOOLS, ["kin", "tools"]),
        ("maker(*),m:maker!inner(*)", TOOLS, ["made_by", "made_by"]),
        ("made(*),y:tools!owned_by(*)", PEOPLE, ["made", "owns"]),
        ("tools!made_by!inner(made_by(boss(*)))", PEOPLE, ["made", "made_by", "boss"]),
        ("bosses(*)", PEOPLE, ["boss"]),
    ],
)
def test_a_resource_is_a_link_by_its_name_or_a_model_with_a_hint(
    select: str, of: ServedModel, links: list[str]
) -> None:
    plan = planned(f"select={select}", of)
    there = {link.pairs: link.name for one in MODELS.values() for link in one.links}
    found = [there[tuple((own, theirs) for own, theirs, _ in one.pairs)] for one in plan.shape.embeds]
    assert len(found) == len(links)
    assert [one.many for one in plan.shape.embeds] == [name in {"made", "owns", "tools"} for name in links]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("select=*,stores(*)", ResourceUnknown, "no link from tools to 'stores'; links: made_by (to people), owned_by (to people)"),
        ("select=*,people(*)", ResourceAmbiguous, "write one of people!made_by, people!owned_by"),
        ("select=*,people!nobody(*)", ResourceUnknown, "that 'nobody' would mean"),
        ("select=*,made_by(colour)", SelectInvalid, "select: made_by has no column 'colour'"),
        ("select=*,made_by(*),made_by(nr)", SelectInvalid, "two resources are named 'made_by'"),
        ("select=*,made_by(*)&made_by.colour=noop.1", UnknownParameter, "made_by has no column 'colour'"),
        ("select=*,made_by(*)&colour=noop.1", UnknownParameter, "there is no column 'colour'"),
        ("made_by.name=eq.1", ResourceUnknown, "'made_by' is not embedded; write select=*,made_by(*)"),
        ("stores.name=eq.1", ResourceUnknown, "no link from tools to 'stores'"),
        ("select=*,made_by(*)&made_by.boss.name=eq.1", ResourceUnknown, "'boss' is not embedded"),
        ("select=*,x:made_by(*)&made_by.name=eq.1", ResourceUnknown, "'made_by' is embedded as x: write x"),
        ("order=made_by(name)", ResourceUnknown, "not embedded"),
        ("select=*,made_by(*)&order=made_by(colour)", OrderInvalid, "order: made_by has no column 'colour'"),
        ("select=*,tools(*)&order=tools(name)", OrderInvalid, "several rows of 'tools'"),
        ("select=*,made_by(*)&made_by.order=colour", OrderInvalid, "made_by.order: made_by has no column 'colour'"),
        ("select=*,made_by(*)&made_by=eq.5", FilterInvalid, "made_by.column=eq.VALUE"),
        ("select=*,...tools(nr)", SelectInvalid, "only a link to one row can be spread"),
        ("select=price.sum(),tools(nr)", SelectInvalid, "only a link to one row can stand beside an aggregate"),
        ("select=price.sum(),made_by(price.sum())", SelectInvalid, "no aggregate of its own"),
        ("select=*,...made_by(price.max())", SelectInvalid, "not beside `*`"),
        ("select=*,tools(*)&tools.limit=-1", RangeUnsatisfiable, "cannot be negative"),
        ("select=*,tools(*)&tools.limit=ten", ApiError, "whole number"),
        ("select=" + ",".join(f"t{n}:tools(nr)" for n in range(21)), QueryTooLarge, "at most 20 resources"),
        ("select=kin(kin(kin(kin(kin(nr)))))", QueryTooLarge, "at most 4 deep"),
        ("select=*,made_by!inner", SelectInvalid, "`(` behind an embedded resource"),
        ("select=...nr", SelectInvalid, "`(` behind an embedded resource"),
        ("select=*,owner(*)", ResourceAmbiguous, "write one of owner!owned_by, owner!kin"),
        ("select=nr,made_by", SelectInvalid, "made_by is a link, and its rows are embedded: write made_by(*)"),
        ("made_by=is.null", UnknownParameter, "made_by is a link, and its rows are embedded: write select=*,made_by(*)"),
        ("order=made_by", OrderInvalid, "write order=made_by(column)"),
        ("select=sum(price)", ResourceUnknown, "to add up write select=price.sum()"),
        ("select=n:count(nr)", ResourceUnknown, "to add up write select=nr.count()"),
        ("select=price.median()", SelectInvalid, "an aggregate (.count(), .sum(), .avg(), .min(), .max())"),
        ("select=name->>a", SelectInvalid, "paths within JSON are not read here"),
        ("at=2026-01-01", UnknownParameter, "cursor, format, snapshot; read it as it was with snapshot=NAME"),
        ("select=*,made_by(*)&made_by.nr=eq.x", FilterInvalid, "made_by: 'x' is no integer (nr)"),
        ("select=*,made_by(*)&made_by.nr=like.x", ApiError, "made_by: nr is integer, and `like` takes texts"),
        ("select=*,made_by(*)&made_by.or=(nr.eq.x)", FilterInvalid, "made_by: 'x' is no integer (nr)"),
        ("select=*,made_by(*)&made_by.or=(colour.eq.x)", UnknownParameter, "made_by has no column 'colour'"),
        ("select=*,made_by(*)&made_by.name=x", ApiError, "made_by.name: no operator begins 'x'; write made_by.name=eq.x"),
        ("select=*,made_by(*)&made_by.order=name.up", OrderInvalid, "made_by.order: at character 5"),
        ("select=*,made_by(*,boss(*))&made_by.order=boss(colour)", OrderInvalid, "made_by.order: made_by.boss has no column"),
        ("name=ne.x", ApiError, "there is no operator ne; write name=neq.VALUE"),
        ("name=contains.x", ApiError, "write name=ilike.*VALUE*"),
        ("price=between.1,2", ApiError, "write price=gte.VALUE, and beside it price=lte.VALUE"),
    ],
)  # fmt: skip
def test_an_error_names_the_link_or_the_column_before_the_operator(text: str, error: type[ApiError], said: str) -> None:
    with pytest.raises(error) as found:
        planned(text)
    assert said in found.value.message


PLACES = [
    "select=*,made_by(*)&made_by.name=eq.{}", "select=*,made_by!inner(*)&made_by.name=in.({},b)", "select={}:made_by(*)",
    "select=*,made_by!{}(*)", "select=*,{}(*)", "select=*,made_by({}:name)", "select=*,x:made_by(*)&x.or=(name.like.{},nr.eq.1)",
    "select=*,tools(*)&tools.limit={}", "select=*,tools(*)&tools.order={}", "select=*,made_by(*)&order=made_by({})",
    "select=...made_by({}:name)", "select=price.sum(),made_by({}:name)", "select=*,tools(made_by(*))&tools.made_by.name=eq.{}",
    "select=*,made_by()&or=(made_by.is.null,name.eq.{})", "select=*,made_by(*)&{}.name=eq.1", "select=*,made_by(*)&order={}(name)",
]  # fmt: skip


@given(st.sampled_from(PLACES), st.sampled_from(HOSTILE), st.text(st.sampled_from("ab1.,()*"), max_size=3))
def test_a_clients_text_is_bound_or_a_quoted_name_of_the_answer(place: str, bad: str, behind: str) -> None:
    asked = place.replace("{}", f"zQz{bad}{behind}zQz")
    parts = [part.partition("=") for part in asked.split("&")] if "&" not in bad else []
    try:
        plan = planned("&".join(f"{quote(name)}={quote(value)}" for name, _, value in parts))
    except ApiError as problem:
        assume(problem.status >= 400)
        return
    for text in texts(plan):
        assert "zQz" not in IDENTIFIER.sub("", text)
        assert place.startswith(("select={}", "select=*,made_by({}", "select=...", "select=price")) or "zQz" not in text


def test_values_are_bound_under_their_numbers_wherever_they_stand() -> None:
    """A filter of an embedded resource stands in several parts of a statement: each is given the same value."""
    plan = planned(
        "select=*,made_by!inner(*,made(*)),t:tools(nr)&made_by.name=eq.a&made_by.made.nr=gt.7&t.limit=3&t.offset=2"
        "&name=eq.b&order=made_by(name)&offset=9&or=(t.is.null,price.lt.4)"
    )
    assert plan.values == ("a", "7", 3, 2, "b", "4", 9)
    for piece in (plan.shape.tables(), plan.shape.selection(None), plan.shape.counted()):
        assert piece.text.count("%s") == len(piece.slots)
        assert set(piece.slots) >= {0, 4, 5}
    text = plan.shape.tables().text
    for name, number in (("name", 0), ("nr", 1)):
        where = text.index(
            f'{"" if number else chr(34) + "_E0" + chr(34) + "."}"{name}" {"=" if not number else ">"} %s'
        )
        assert plan.shape.tables().slots[text[:where].count("%s")] == number


def test_a_cursor_belongs_to_what_chooses_rows_and_not_to_what_they_show() -> None:
    def binding(text: str) -> str:
        return planned(text).binding

    assert binding("select=nr,made_by(name)") == binding("select=*,made_by(*)")
    others = ["select=*,made_by!inner(*)", "select=*,made_by(*)&made_by.nr=eq.1", "select=*,made_by:owned_by(*)",
              "select=*,made_by(*)&order=made_by(name)", "select=*", "select=*,made_by(*)&made_by=is.null"]  # fmt: skip
    assert len({binding(text) for text in (*others, "select=*,made_by(*)")}) == len(others) + 1


def test_an_answer_of_several_models_stands_where_all_of_them_stand() -> None:
    plan = planned("select=*,made_by(boss(*))")
    assert [one.name for one in plan.models] == ["tools", "people", "bosses"]
    assert plan.source.categories == ("shop.tools", "shop.people", "shop.bosses")
    assert plan.source.reads == ("tools", "people")
    assert plan.source.name == "tools with bosses with people"
    assert planned("select=*,kin(*)").models == (TOOLS,)
    assert together((TOOLS,)) is TOOLS
    assert planned("").source is TOOLS


def test_during_a_deploy_a_link_without_its_columns_is_told() -> None:
    bare = replace(PEOPLE, columns=PEOPLE.columns[1:])
    query = read_query(b"select=*,made_by(*)")
    with pytest.raises(ResourceUnknown, match="of other code, without the link made_by"):
        plan_query(TOOLS, query, models={**MODELS, ("shop", "people"): bare})
    with pytest.raises(ResourceUnknown, match="of other code"):
        plan_query(TOOLS, query)


def test_a_value_of_an_embedded_resource_is_refused_under_its_whole_name_even_where_only_postgres_knows() -> None:
    with pytest.raises(FilterInvalid) as found:
        planned("select=*,made_by(*)&made_by.nr=eq.x")
    assert [fault.field for fault in found.value.faults] == ["made_by.nr"]
    (late,) = planned("select=*,made_by(*,boss(*))&made_by.boss.name=match.(").given
    assert late.refused().message == "made_by.boss: name: Postgres cannot read the pattern '('"
    (own,) = planned("select=*,made_by(*)&name=match.(").given
    assert own.refused().message == "name: Postgres cannot read the pattern '('"


def test_a_snapshot_says_that_it_has_no_linked_rows() -> None:
    with pytest.raises(ResourceUnknown, match="a snapshot has no linked rows"):
        planned("select=*,made_by(*)", replace(TOOLS, domain="shop@january", links=()))
