"""The shape of a query: everything that its statement's text depends on, and no value of a client."""

from typing import Literal

import msgspec

from refold.api.http.reads.planning import keyset
from refold.api.http.reads.planning.cursors import MOST_VALUES
from refold.api.http.reads.planning.embedding import Embed, Embedding
from refold.api.http.reads.planning.filtering import Shape as Filtering
from refold.api.http.reads.planning.filtering import sql_of
from refold.api.http.reads.planning.keyset import MARK, ROWS_NAMED, VIEW, Term
from refold.api.http.reads.planning.page_bytes import PAGE_BYTES, row_bytes
from refold.api.http.reads.planning.pieces import Numbers, Piece, identifier, joined, put
from refold.api.http.reads.planning.resources import PAGE
from refold.api.http.reads.planning.showing import JSON, Shown, as_json, is_grouped

Form = Literal["json", "stripped", "csv", "count"]
"""How rows are written: as JSON, as JSON without nulls, as records of CSV, or not at all."""


class Shape(msgspec.Struct, frozen=True):
    """A query of a read model, without its values. `nulls`: which values of its cursor are null; `marked`: the cursor names rows by hashes.

    `embeds`: the resources in its rows, whose values come before all others; `first`: how many those are.
    """

    view: tuple[str, str]
    shown: tuple[Shown, ...]
    filters: tuple[Filtering, ...]
    terms: tuple[Term, ...]
    limit: int
    offset: bool = False
    nulls: tuple[bool, ...] | None = None
    marked: bool = False
    cut: bool = False
    """Whether the page ends early at PAGE_BYTES; else all of its rows come or, where they are more, none: an ordinary page costs no more for it."""
    form: Form = "json"
    total: Literal["none", "exact", "bounded"] = "none"
    embeds: tuple[Embed, ...] = ()
    first: int = 0

    def tables(self) -> Piece:
        """`_Page`: the page's rows, numbered, with our own names for columns; `_Mark` if the cursor names rows by hashes; `_Total`."""
        numbers = Numbers(self.first)
        filters = self._filters(numbers)
        source = self._source(filters)
        mark, rows = Piece(f"{MARK} AS (SELECT 1)"), source
        if self.marked:
            mark = keyset.mark(self.terms, source, numbers)
            rows = put(
                "{}, {} WHERE {}", self._from(filters), MARK, self._where(filters, keyset.behind_mark(self.terms))
            )
        elif self.nulls is not None:
            rows = self._source(filters, keyset.behind(self.terms, self.nulls, numbers))
        cut = put("SELECT {} {}{} LIMIT {}", self._columns(), rows, self._order(), str(self.limit + 1))
        if self.offset:
            cut = put("{} OFFSET {}", cut, numbers.value("bigint"))
        sums, last = self._sums()
        if self._is_late:
            found = put('SELECT {}* FROM ({}) "_Whole"', sums, self._whole())
            page = put('{}, "_Page" AS MATERIALIZED ({}){}', self._found(cut), found, last)
        else:
            found = put('SELECT row_number() OVER () AS "_Nr", {}* FROM ({}) "_Cut"', sums, cut)
            page = put('"_Page" AS MATERIALIZED ({}){}', found, last)
        return joined(", ", [mark, page, *self._total(source)])

    def _found(self, cut: Piece) -> Piece:
        """`_Found`: the rows, numbered; then the rows of what is embedded in them, and their JSON."""
        found = put('"_Found" AS MATERIALIZED (SELECT row_number() OVER () AS "_Nr", * FROM ({}) "_Cut")', cut)
        return joined(", ", [found, *self._embedding.tables(PAGE, _FOUND)])

    def _whole(self) -> Piece:
        """The rows of `_Found` with what is embedded in them, in order."""
        late = [
            put('{} AS "_C{}"', self._embedding.value(one.embedded), str(place))
            for place, one in enumerate(self.shown)
            if one.embedded is not None
        ]
        columns = joined(", ", [Piece(f"{_FOUND}.*"), *late])
        return put(
            'SELECT {} FROM {}{} ORDER BY {}."_Nr"', columns, _FOUND, self._embedding.looked_up(PAGE, _FOUND), _FOUND
        )

    def rows(self) -> str:
        """The rows in one text, and how many they are; no text where they are too large and the page is not cut."""
        separator = "E'\\n'" if self.form == "csv" else "','"
        return (
            f'(SELECT string_agg({self._row()}, {separator} ORDER BY "_Nr") AS "_Text", count(*) AS "_Rows"'
            f' FROM "_Page" WHERE "_Nr" <= {self._last()}{self._fits()}) "_Shown"'
        )

    def ends(self) -> str:
        """The parts of a cursor: the last row's values if they are short, and hashes of rows at the page's end; then the number of rows found."""
        ordered = [f'"_O{place}"' for place in range(len(self.terms))]
        if not ordered:
            return 'NULL::text[], NULL::text[], (SELECT count(*) FROM "_Page"), (SELECT count(*) FROM "_Mark")'
        last, texts = self._last(), ", ".join(f"{value}::text" for value in ordered)
        return (
            f"(SELECT CASE WHEN octet_length(ROW({', '.join(ordered)})::text) <= {MOST_VALUES} THEN ARRAY[{texts}] END"
            f' FROM "_Page" WHERE "_Nr" = {last}),'
            f' (SELECT array_agg({keyset.row_hash(ordered)} ORDER BY "_Nr") FROM "_Page"'
            f' WHERE "_Nr" > {last} - {ROWS_NAMED} AND "_Nr" <= {last} + 1),'
            ' (SELECT count(*) FROM "_Page"), (SELECT count(*) FROM "_Mark")'
        )

    def selection(self, limit: int | None) -> Piece:
        """The rows as a statement of its own, with the names and types of the answer; without a cursor."""
        numbers = Numbers(self.first)
        source = self._source(self._filters(numbers))
        if self._is_late:
            names = ", ".join(f'"_C{place}" AS {identifier(one.name)}' for place, one in enumerate(self.shown))
            cut = self._cut_off(put("SELECT {} {}{}", self._columns(), source, self._order()), limit, numbers)
            return put('WITH {} SELECT {} FROM ({}) "_Whole" ORDER BY "_Nr"', self._found(cut), names, self._whole())
        names = ", ".join(
            f"{value if one.kind != JSON else as_json(one.kind, value)} AS {identifier(one.name)}"
            for one, value in zip(self.shown, self._values(), strict=True)
        )
        return self._cut_off(put("SELECT {} {}{}", names, source, self._order()), limit, numbers)

    def _cut_off(self, found: Piece, limit: int | None, numbers: Numbers) -> Piece:
        found = found if limit is None else put("{} LIMIT {}", found, str(limit))
        return put("{} OFFSET {}", found, numbers.value("bigint")) if self.offset else found

    def counted(self) -> Piece:
        """The statement of all rows that the query has on all pages, for Postgres's planner to guess their number."""
        return put("SELECT 1 {}", self._source(self._filters(Numbers(self.first))))

    @property
    def grouped(self) -> bool:
        """Whether rows are groups of the model's rows."""
        return is_grouped(self.shown)

    @property
    def _filtered(self) -> str:
        return VIEW if not self.grouped else '"_Rows"'

    @property
    def _embedding(self) -> Embedding:
        return Embedding(self.embeds, self._filtered)

    @property
    def _is_late(self) -> bool:
        """Whether something is embedded after the page's rows are found; where no row is shown, nothing is."""
        return self.form != "count" and any(one.embedded is not None for one in self.shown)

    def _filters(self, numbers: Numbers) -> list[Piece]:
        """The conditions on rows: the query's filters, and those of `!inner`."""
        embedding = self._embedding
        own = [sql_of(one, self._filtered, numbers, embedding.there) for one in self.filters]
        return [*own, *embedding.inner(PAGE)]

    def _values(self) -> list[str]:
        """What is shown, over the columns of `_View`."""
        return [f'{VIEW}."_G{place}"' if self.grouped else one.expression for place, one in enumerate(self.shown)]

    def _columns(self) -> str:
        values = enumerate(zip(self.shown, self._values(), strict=True))
        shown = [f'{value} AS "_C{place}"' for place, (one, value) in values if one.embedded is None]
        ordered = [f'{term.expression} AS "_O{place}"' for place, term in enumerate(self.terms)]
        late = self._embedding.links(PAGE) if self._is_late else ""
        return ", ".join([*shown, *ordered]) + late

    def _source(self, filters: list[Piece], *further: Piece) -> Piece:
        return put("{}{}", self._from(filters), self._behind(filters, *further))

    def _behind(self, filters: list[Piece], *further: Piece) -> Piece:
        conditions = [*(() if self.grouped else filters), *further]
        return put(" WHERE {}", joined(" AND ", conditions)) if conditions else Piece("")

    def _where(self, filters: list[Piece], *further: Piece) -> Piece:
        return joined(" AND ", [*(() if self.grouped else filters), *further])

    def _from(self, filters: list[Piece]) -> Piece:
        """The view, or its rows in groups: filters come before the groups."""
        joins = self._embedding.joins(PAGE)
        if not self.grouped:
            return put("FROM {} AS {}{}", identifier(*self.view), VIEW, joins)
        names = ", ".join(f'{one.expression} AS "_G{place}"' for place, one in enumerate(self.shown))
        groups = ", ".join(str(place) for place, one in enumerate(self.shown, 1) if not one.aggregate)
        where = put(" WHERE {}", joined(" AND ", filters)) if filters else Piece("")
        return put(
            'FROM (SELECT {} FROM {} AS "_Rows"{}{}{}) AS {}',
            names, identifier(*self.view), joins, where, f" GROUP BY {groups}" if groups else "", VIEW,
        )  # fmt: skip

    def _order(self) -> str:
        return f" ORDER BY {', '.join(term.sql() for term in self.terms)}" if self.terms else ""

    def _row(self) -> str:
        places = [f'"_C{place}"' for place in range(len(self.shown))]
        if self.form == "count":
            return "''"
        if self.form == "csv":
            values = [f"{place}{'::text' * _is_boolean(one)}" for one, place in zip(self.shown, places, strict=True)]
            record = f"ROW({', '.join(values)})::text"
            return f"substr({record}, 2, length({record}) - 2)"
        pairs = zip(self.shown, places, strict=True)
        names = ", ".join(f"{as_json(one.kind, place)} AS {identifier(one.name)}" for one, place in pairs)
        text = 'row_to_json("_Row")' if self.form == "json" else 'json_strip_nulls(row_to_json("_Row"))'
        return f'(SELECT {text}::text FROM (SELECT {names}) "_Row")'

    @property
    def _row_bytes(self) -> str | None:
        """None where a page is small whatever its rows hold; a single row is always shown."""
        if self.limit <= 1 or self.form == "count":
            return None
        return row_bytes(self.shown, [f'"_C{place}"' for place in range(len(self.shown))])

    def _sums(self) -> tuple[str, str]:
        """Of a cut page the bytes up to each row, and `_Last`: the last row that is shown, the first however large it is."""
        size = self._row_bytes if self.cut else None
        if size is None:
            return "", ""
        fits = f'"_Nr" <= {self.limit} AND ("_Nr" = 1 OR "_Sum" <= {PAGE_BYTES})'
        last = f', "_Last" AS (SELECT max("_Nr") AS "_Nr" FROM "_Page" WHERE {fits})'
        return f'sum({size}) OVER (ROWS UNBOUNDED PRECEDING) AS "_Sum", ', last

    def _fits(self) -> str:
        """Whether the whole page may be shown: none of it is read otherwise."""
        size = None if self.cut else self._row_bytes
        return "" if size is None else f' AND (SELECT sum({size}) FROM "_Page") <= {PAGE_BYTES}'

    def _last(self) -> str:
        """The number of the page's last row, where as many are there."""
        cut = self.cut and self._row_bytes is not None
        return '(SELECT "_Nr" FROM "_Last")' if cut else str(self.limit)

    def _total(self, source: Piece) -> list[Piece]:
        """How many rows the query has on all pages, up to a bound if it says so."""
        if self.total == "none":
            return []
        bound = f" LIMIT {TOTAL_BOUND}" if self.total == "bounded" else ""
        return [put('"_Total" AS (SELECT count(*) AS "_Rows" FROM (SELECT 1 {}{}) "_All")', source, bound)]


_FOUND = '"_Found"'
TOTAL_BOUND = 1001
"""Rows up to which `count=estimated` counts; beyond it Postgres's planner guesses."""


def _is_boolean(item: Shown) -> bool:
    """CSV has `true` and `false`, in a page as in a file, where a record of Postgres has t and f."""
    return item.kind.name == "boolean" and not item.kind.array
