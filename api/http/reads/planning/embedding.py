"""Embedded resources as SQL: each of their tables is read once for all rows of a page, never once a row.

For the resource numbered n, `"_E<n>"` are its rows where they are chosen, `"_T<n>"` the one linked row joined to a row, `"_R<n>"` the rows
chosen for the page, with the values that link them (`"_K…"`), and `"_J<n>"` their JSON for each such value. `"_L<n>_…"` are the linking
values of the rows in which it is embedded.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from refold.api.http.reads.planning.filtering import Shape as Filtering
from refold.api.http.reads.planning.filtering import sql_of
from refold.api.http.reads.planning.keyset import Term
from refold.api.http.reads.planning.pieces import Numbers, Piece, identifier, joined, put, slot
from refold.api.http.reads.planning.resources import PAGE
from refold.api.http.reads.planning.showing import Shown, as_json, is_grouped

MOST_EMBEDDED = 1000
"""Most rows of one resource in one row, as many as a page has; more are refused unless the client bounds them itself."""
TOO_MANY = "_TooMany"
"""What Postgres fails to read as a number where a row has more, followed by the resource's number: a statement has no other way to refuse."""


class Embed(msgspec.Struct, frozen=True):
    """An embedded resource, without its values. `pairs`: linking columns of the row it is embedded in and of its own, and whether they are text.

    `parent`: the number of that row's resource; `late`: shown as JSON, and read after the page's rows are found; `joined`: read with them;
    `flat`: its columns are columns of the row; `single`: its key lets one row match at most. `first`: the number of its first value;
    `limit` and `offset`: the numbers of those values.
    """

    parent: int
    view: tuple[str, str]
    pairs: tuple[tuple[str, str, bool], ...]
    many: bool
    single: bool
    inner: bool
    late: bool
    joined: bool
    flat: bool
    shown: tuple[Shown, ...]
    filters: tuple[Filtering, ...]
    terms: tuple[Term, ...]
    first: int
    limit: int | None = None
    offset: int | None = None


class Embedding:
    """The embedded resources of one statement; `rows` is the alias of the page's own rows where they are chosen."""

    def __init__(self, embeds: Sequence[Embed], rows: str) -> None:
        self._embeds, self._rows = embeds, rows

    def there(self, number: int) -> Piece:
        """The condition that a row has a linked row of this resource."""
        one = self._embeds[number]
        conditions = [self._linked(number, self._alias(one.parent)), *self._conditions(number)]
        return put(
            "EXISTS (SELECT 1 FROM {} AS {} WHERE {})",
            identifier(*one.view), self._alias(number), joined(" AND ", conditions),
        )  # fmt: skip

    def inner(self, parent: int) -> list[Piece]:
        """The conditions of `!inner` on rows of a resource."""
        return [self.there(number) for number, one in enumerate(self._embeds) if one.parent == parent and one.inner]

    def joins(self, level: int) -> Piece:
        """The linked rows that are needed to choose, order and group rows: at most one of each for a row."""
        found = [self._join(number) for number, one in self._of(level) if one.joined]
        return joined("", found)

    def links(self, level: int) -> str:
        """The linking values of rows for what is embedded late, as further columns."""
        return "".join(
            f', {self._outside(one.parent)}.{identifier(own)} AS "_L{number}_{place}"'
            for number, one in self._of(level)
            if one.late
            for place, (own, _, _) in enumerate(one.pairs)
        )

    def tables(self, level: int, rows: str) -> Iterator[Piece]:
        """Parts of a WITH: the rows of everything embedded late in `rows`, and their JSON."""
        for number, one in self._of(level):
            if one.late:
                yield self._chosen(number, rows)
                yield from self.tables(number, f'"_R{number}"')
                yield self._as_json(number)

    def looked_up(self, level: int, rows: str) -> str:
        """Joins the JSON of everything embedded late to `rows`."""
        found = ""
        for number, one in self._of(level):
            if one.late:
                same = " AND ".join(
                    _same(f'"_J{number}"."_K{place}"', f'{rows}."_L{number}_{place}"', is_text=is_text)
                    for place, (_, _, is_text) in enumerate(one.pairs)
                )
                found += f' LEFT JOIN "_J{number}" ON {same}'
        return found

    def value(self, number: int) -> Piece:
        """The JSON of a late resource: null for no linked row, or an array; an aggregate of no rows is there, too."""
        one, found = self._embeds[number], Piece(f'"_J{number}"."_Json"')
        if is_grouped(one.shown) and all(item.aggregate for item in one.shown):
            of_none = put(
                '(SELECT {}("_Row") FROM (SELECT {} FROM {} AS {}{} WHERE false) "_Row")',
                "json_agg" if one.many else "row_to_json",
                _named((item, Piece(item.expression)) for item in one.shown),
                identifier(*one.view), self._alias(number), self.joins(number),
            )  # fmt: skip
            return put("coalesce({}, {})", found, of_none)
        return put("coalesce({}, '[]'::json)", found) if one.many else found

    def _of(self, level: int) -> Iterator[tuple[int, Embed]]:
        """What is embedded in the rows of a resource, also by way of what is flat in them."""
        for number, one in enumerate(self._embeds):
            parent = one.parent
            while parent != PAGE and self._embeds[parent].flat:
                parent = self._embeds[parent].parent
            if parent == level:
                yield number, one

    def _alias(self, number: int) -> str:
        return self._rows if number == PAGE else f'"_E{number}"'

    def _outside(self, number: int) -> str:
        """A resource's row for what is embedded in it."""
        return f'"_T{number}"' if number != PAGE and self._embeds[number].flat else self._alias(number)

    def _linked(self, number: int, row: str) -> Piece:
        alias = self._alias(number)
        same = [
            _same(f"{alias}.{identifier(theirs)}", f"{row}.{identifier(own)}", is_text=is_text)
            for own, theirs, is_text in self._embeds[number].pairs
        ]
        return Piece(" AND ".join(same))

    def _conditions(self, number: int) -> list[Piece]:
        one = self._embeds[number]
        numbers, alias = Numbers(one.first), self._alias(number)
        return [*(sql_of(part, alias, numbers, self.there) for part in one.filters), *self.inner(number)]

    def _join(self, number: int) -> Piece:
        one, alias = self._embeds[number], self._alias(number)
        conditions = [self._linked(number, self._outside(one.parent)), *self._conditions(number)]
        return put(
            ' LEFT JOIN LATERAL (SELECT {}.*, true AS "_There" FROM {} AS {} WHERE {}{}) AS "_T{}" ON true',
            alias, identifier(*one.view), alias, joined(" AND ", conditions), self._first_only(one), str(number),
        )  # fmt: skip

    def _first_only(self, one: Embed) -> Piece:
        """Of a view whose key is not unique, one row all the same."""
        if one.single and one.limit is None and one.offset is None:
            return Piece("")
        limit = "1" if one.limit is None else put("least(1, {})", slot(one.limit))
        offset = "0" if one.offset is None else slot(one.offset)
        return put("{} LIMIT {} OFFSET {}", _order(one), limit, offset)

    def _chosen(self, number: int, rows: str) -> Piece:
        """The rows that are embedded in `rows`: for each linking value those between `offset` and `limit`."""
        one, alias = self._embeds[number], self._alias(number)
        keys = [f"{alias}.{identifier(theirs)}" for _, theirs, _ in one.pairs]
        columns = [f'{key} AS "_K{place}"' for place, key in enumerate(keys)]
        columns += [
            f'{item.expression} AS "_C{place}"' for place, item in enumerate(one.shown) if item.embedded is None
        ]
        groups = ""
        if is_grouped(one.shown):
            places = [
                *range(1, len(keys) + 1),
                *(len(keys) + 1 + n for n, i in enumerate(one.shown) if not i.aggregate),
            ]
            groups = f" GROUP BY {', '.join(map(str, places))}"
        numbered = one.many or not one.single or one.limit is not None or one.offset is not None
        nr = f', row_number() OVER (PARTITION BY {", ".join(keys)}{_order(one)}) AS "_Nr"' * numbered
        left = [f"{key}{_BY_BYTES * is_text}" for key, (_, _, is_text) in zip(keys, one.pairs, strict=True)]
        right = ", ".join(f'"_L{number}_{place}"' for place in range(len(keys)))
        found = put(
            "SELECT {}{}{} FROM {} AS {}{} WHERE {}{}",
            ", ".join(columns), self.links(number), nr, identifier(*one.view), alias, self.joins(number),
            joined(" AND ", [Piece(f"({', '.join(left)}) IN (SELECT {right} FROM {rows})"), *self._conditions(number)]),
            groups,
        )  # fmt: skip
        if numbered:
            found = put('SELECT * FROM ({}) "_Cut" WHERE {}', found, self._between(one))
        return put('"_R{}" AS MATERIALIZED ({})', str(number), found)

    def _between(self, one: Embed) -> Piece:
        most = Piece(str(MOST_EMBEDDED + 1 if one.many else 1))
        if one.limit is not None:
            most = slot(one.limit) if one.many else put("least(1, {})", slot(one.limit))
        if one.offset is None:
            return put('"_Nr" <= {}', most)
        return put('"_Nr" > {} AND "_Nr" <= {} + {}', slot(one.offset), slot(one.offset), most)

    def _as_json(self, number: int) -> Piece:
        one, rows = self._embeds[number], f'"_R{number}"'
        keys = ", ".join(f'"_K{place}"' for place in range(len(one.pairs)))
        values = [
            (item, Piece(f'{rows}."_C{place}"') if item.embedded is None else self.value(item.embedded))
            for place, item in enumerate(one.shown)
        ]
        nr = f', {rows}."_Nr"' * one.many
        found = put(
            'SELECT {}{}, (SELECT row_to_json("_Row") FROM (SELECT {}) "_Row") AS "_Json" FROM {}{}',
            ", ".join(f'{rows}."_K{place}"' for place in range(len(one.pairs))), nr, _named(values), rows,
            self.looked_up(number, rows),
        )  # fmt: skip
        if not one.many:
            return put('"_J{}" AS ({})', str(number), found)
        array = 'json_agg("_Json" ORDER BY "_Nr")'
        if one.limit is None:
            refused = f"('{TOO_MANY}{number}/' || count(*))::integer::text::json"
            array = f"CASE WHEN count(*) > {MOST_EMBEDDED} THEN {refused} ELSE {array} END"
        return put(
            '"_J{}" AS (SELECT {}, {} AS "_Json" FROM ({}) "_One" GROUP BY {})', str(number), keys, array, found, keys
        )


_BY_BYTES = ' COLLATE "C"'
"""Texts link by their bytes, also where a declared view has columns of another collation."""


def json_of(shown: Sequence[Shown], number: int) -> str:
    """A joined row as the text of its JSON, null where there is none: rows can be grouped by it."""
    names = _named((item, Piece(item.expression)) for item in shown).text
    return f'CASE WHEN "_T{number}"."_There" THEN (SELECT row_to_json("_Row")::text FROM (SELECT {names}) "_Row") END'


def _named(values: Iterable[tuple[Shown, Piece]]) -> Piece:
    """The values as JSON shows them, under their names."""
    return joined(
        ", ",
        [
            put("{} AS {}", Piece(as_json(item.kind, value.text), value.slots), identifier(item.name))
            for item, value in values
        ],
    )


def _same(left: str, right: str, *, is_text: bool) -> str:
    return f"{left}{_BY_BYTES * is_text} = {right}"


def _order(one: Embed) -> str:
    return f" ORDER BY {', '.join(term.sql() for term in one.terms)}" if one.terms else ""
