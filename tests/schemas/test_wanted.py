"""A decoder that is asked for some columns or records checks all of them; compiled loops and Polars give the same ones."""

import random
from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from refold.schemas.codec import Codec
from refold.schemas.columns import compiled
from refold.schemas.columns.decoder import ColumnDecoder, Decoded, read_heads
from refold.schemas.columns.layout import layout_of
from refold.schemas.columns.picking import Pick
from refold.schemas.contracts import Event
from refold.schemas.meta import Meta
from tests.schemas import shapes
from tests.schemas.decoding import slices
from tests.schemas.shapes import CATALOG, METAS, OF_EVENT

pytest.importorskip("numba", reason="needs the extra speed")

from refold.schemas.columns.projection import Projection, can_project

CODEC = Codec(CATALOG)
FAST = [phase for phase in Phase if phase not in {Phase.shrink, Phase.explain}]
LOOPED = [cls for cls in OF_EVENT if can_project(layout_of(CATALOG.current(cls).schema, thin=True))]


def read(decoder: ColumnDecoder, cls: type[Event], values: Sequence[bytes | None]) -> Decoded:
    return decoder.read(CATALOG.current(cls).id, values, read_heads(values))


def test_the_loop_reads_records_of_all_scalars_and_of_optional_ones() -> None:
    assert {shapes.Plain, shapes.Optional} <= set(LOOPED)


@pytest.mark.parametrize("cls", OF_EVENT, ids=lambda cls: cls.__name__)
@given(data=st.data())
@settings(max_examples=25, deadline=None, phases=FAST)
def test_wanted_columns_are_those_of_the_whole_frame(cls: type[Event], data: st.DataObject) -> None:
    names = ["m_stream", "m_version", "m_actor", *cls.__struct_fields__]
    wanted = data.draw(st.frozensets(st.sampled_from(names), min_size=1))
    written = data.draw(st.lists(st.tuples(METAS, OF_EVENT[cls]), min_size=1, max_size=8))
    values = [CODEC.event(meta, event) for meta, event in written]
    if data.draw(st.booleans()):
        values = [_damaged(value, random.Random(data.draw(st.integers(0, 99)))) for value in values]
    assert compiled.load() is not None
    whole = read(ColumnDecoder(CATALOG, thin=True), cls, values)
    some = ColumnDecoder(CATALOG, thin=True, wanted={("tests.shapes", cls.__name__): wanted})
    for held in (values, slices(values)):
        found = read(some, cls, held)
        kept = [name for name in whole.frame.columns if name in {*wanted, "m_row"}]
        assert found.frame.equals(whole.frame.select(kept))
        assert (found.frame.schema, found.bad) == (whole.frame.select(kept).schema, whole.bad)


@pytest.mark.parametrize("cls", LOOPED, ids=lambda cls: cls.__name__)
@given(data=st.data())
@settings(max_examples=25, deadline=None, phases=FAST)
def test_picked_records_are_those_of_the_whole_frame(cls: type[Event], data: st.DataObject) -> None:
    written = data.draw(st.lists(st.tuples(METAS, OF_EVENT[cls]), min_size=1, max_size=8))
    values = [CODEC.event(meta, event) for meta, event in written]
    if is_damaged := data.draw(st.booleans()):
        values = [_damaged(value, random.Random(data.draw(st.integers(0, 99)))) for value in values]
    kept = pl.col("m_stream").is_in(data.draw(st.sets(st.sampled_from([meta.stream for meta, _ in written]))))
    pick = Pick(frozenset({"m_stream", "m_version"}), lambda frame: frame.with_row_index("at").filter(kept)["at"])
    assert compiled.load() is not None
    whole = read(ColumnDecoder(CATALOG, thin=True), cls, values)
    found = read(ColumnDecoder(CATALOG, thin=True, picks={("tests.shapes", cls.__name__): pick}), cls, slices(values))
    assert (found.frame.filter(kept).equals(whole.frame.filter(kept)), found.bad) == (True, whole.bad)
    if not is_damaged and not any("\0" in str(value) for value in whole.frame.rows()):
        assert found.frame.height == whole.frame.filter(kept).height


@given(meta=METAS, event=OF_EVENT[shapes.Plain])
@settings(max_examples=5, deadline=None, phases=FAST)
def test_a_text_that_postgres_cannot_hold_is_not_hidden_by_a_pick(meta: Meta, event: shapes.Plain) -> None:
    sound = CODEC.event(meta, structs.replace(event, text="zebra"))
    values = slices([sound, sound.replace(b"zebra", b"ze\0ra")])
    nothing = Pick(frozenset({"m_stream"}), lambda _frame: pl.int_range(0, eager=True))
    assert compiled.load() is not None
    decoder = ColumnDecoder(CATALOG, thin=True, picks={("tests.shapes", "Plain"): nothing})
    assert read(decoder, shapes.Plain, values).frame["text"].to_list() == ["zebra", "ze\0ra"]
    assert read(decoder, shapes.Plain, slices([sound])).frame.is_empty()


def _damaged(value: bytes, chance: random.Random) -> bytes:
    """The value with one byte behind its frame changed."""
    at = chance.randrange(73, len(value))
    return value[:at] + bytes((chance.randrange(256),)) + value[at + 1 :]


@pytest.mark.parametrize("cls", LOOPED, ids=lambda cls: cls.__name__)
@given(data=st.data())
@settings(max_examples=15, deadline=None, phases=FAST)
def test_the_loop_has_no_doubt_of_sound_records(cls: type[Event], data: st.DataObject) -> None:
    written = data.draw(st.lists(st.tuples(METAS, OF_EVENT[cls]), min_size=1, max_size=8))
    values = slices([CODEC.event(meta, event) for meta, event in written])
    layout = layout_of(CATALOG.current(cls).schema, thin=True)
    frame = Projection(layout, list(layout.dtypes())).read(values, read_heads(values).rows_of(CATALOG.current(cls).id))
    assert isinstance(frame, pl.DataFrame)
    assert frame.schema == layout.dtypes()
    assert frame.height == len(written)
