"""Patterns of the values of columns, as answers print them, and of the conditions on them. Pure.

The API reads more than they match: each value as Postgres reads it, aggregates in `select`, trees of any depth. A pattern has the plain forms,
which every column of the type takes.
"""

from collections.abc import Iterable

from refold.api.http.describe.openapi_parts import Json
from refold.api.http.describe.text_patterns import ANY_TEXT, CLOCK, DAY, INSTANT, OFFSET_OF_TIME, text_of
from refold.api.http.reads.language.filters import STATES
from refold.api.http.reads.language.query_string import GROUPS, RESERVED
from refold.api.http.reads.planning.filtering import LANGUAGE, MAX_PATTERN
from refold.projections.declaring.served_types import ServedType, served_type
from refold.projections.tables.serving import ServedColumn, ServedModel

_DECIMAL = r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?"
_HEX = "[0-9a-fA-F]"
_VALUES = {
    "smallint": "-?(?:[0-9]{1,4}|[12][0-9]{4})",
    "integer": "-?(?:[0-9]{1,9}|1[0-9]{9}|20[0-9]{8})",
    "bigint": "-?(?:[0-9]{1,18}|[1-8][0-9]{18})",
    **dict.fromkeys(("numeric", "real", "double precision"), _DECIMAL),
    "boolean": "(?:true|false)",
    "date": DAY,
    "time": CLOCK,
    "timetz": f"{CLOCK}{OFFSET_OF_TIME}",
    "timestamp": f"{DAY}T{CLOCK}",
    "timestamptz": INSTANT,
    "interval": "[0-9]{1,6} (?:second|minute|hour|day)s",
    "uuid": f"{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}",
    "bytea": rf"\\x(?:{_HEX}{{2}})*",
    "jsonb": r'(?:null|true|false|-?(?:0|[1-9][0-9]{0,17})|"[^"\\\u0000-\u001f]*"|\{\}|\[\])',
}
_TEXTS = frozenset({"text", "bpchar"})
_WORD = "[A-Za-z0-9_]+"
_MATCHED = f"(?:i?match)\\.[A-Za-z0-9 _]{{0,{MAX_PATTERN}}}"
_LIKE = r"[^\u0000\\]*"
_LANGUAGES = rf"(?:\((?:simple|{LANGUAGE})\))?"
_IN_TREE = r'(?:[^,(){}"\\\u0000]*|"(?:[^"\\\u0000]|\\["\\])*")'
"""A text within a tree or a list: quoted if it holds what ends it."""


def key_schema(model: ServedModel) -> Json:
    """The key of a row in a path."""
    kinds = [served_type(_column(model, name).sql_type) for name in model.key]
    if len(kinds) == 1 and _is_text(kinds[0]):
        return text_of(r"[^\u0000]+", minLength=1)
    quoted = r'(?:[^",\u0000][^,\u0000]*|"(?:[^"\\\u0000]|\\["\\])*")'
    return text_of(",".join(quoted if _is_text(kind) else _value(kind) for kind in kinds))


def key_part_schema(column: ServedColumn) -> Json:
    """A column of a key in a query: its value, or that it is null."""
    kind = served_type(column.sql_type)
    return text_of(rf"eq\.{ANY_TEXT if _is_text(kind) else _value(kind)}|is\.null")


def filter_name(column: ServedColumn) -> str:
    """The schema of conditions on the column: columns of one type share it."""
    kind = served_type(column.sql_type)
    return f"FilterOf.{kind.name.replace(' ', '_')}{'.array' * kind.array}"


def filter_schema(column: ServedColumn) -> Json:
    """A condition on one column, behind `column=`."""
    kind = served_type(column.sql_type)
    return text_of(_condition(_alone(kind)), description=f"A condition on a column of type {kind.sql}.")


def conditions_schema(model: ServedModel) -> Json:
    """What `and` and `or` take: conditions without a tree among them."""
    by_kind: dict[ServedType, list[str]] = {}
    for column in model.columns:
        by_kind.setdefault(served_type(column.sql_type), []).append(_pattern_of(name_of(column.name, GROUPS)))
    every = [rf"(?:{'|'.join(names)})\.{_condition(_within(kind))}" for kind, names in by_kind.items()]
    one = f"(?:{'|'.join(every)})"
    said = "Conditions in parentheses, joined by commas. The pattern is of single conditions; there may be `and(…)` and `or(…)`, 20 deep."
    return text_of(rf"\({one}(?:,{one})*\)", description=said)


def select_schema(model: ServedModel) -> Json:
    """What `select` takes: columns, as they are or as texts."""
    one = f"(?:{_names(model)})(?:::text)?"
    return text_of(rf"(?:\*|{one}(?:,{one})*)?")


def order_schema(model: ServedModel) -> Json:
    """What `order` takes."""
    one = rf"(?:{_names(model)})(?:\.(?:asc|desc))?(?:\.nulls(?:first|last))?"
    return text_of(f"{one}(?:,{one})*")


def name_of(column: str, others: Iterable[str] = RESERVED) -> str:
    """A column as a query names it: in double quotes if it could be read as something else."""
    plain = column.isascii() and column.isidentifier() and column not in others and column != "not"
    return column if plain else '"' + column.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _names(model: ServedModel) -> str:
    return "|".join(_pattern_of(name_of(column.name, ("count",))) for column in model.columns)


def _pattern_of(name: str) -> str:
    """A pattern of a name alone: each other character is escaped as all dialects want it."""
    return "".join(f"\\{letter}" if letter in r"\^$.*+?()[]{}|/" else letter for letter in name)


def _column(model: ServedModel, name: str) -> ServedColumn:
    return next(column for column in model.columns if column.name == name)


def _is_text(kind: ServedType) -> bool:
    return kind.name in _TEXTS and not kind.array


def _value(kind: ServedType) -> str:
    """A value of a type that is no text."""
    return _list_of(ServedType(kind.name)) if kind.array else _VALUES[kind.name]


def _list_of(kind: ServedType) -> str:
    """An array in braces."""
    one = _WORD if kind.name in _TEXTS else _VALUES[kind.name]
    one = f'"{one}"' if kind.name in {"interval", "timestamp", "timestamptz"} else one
    return rf"\{{(?:{one}(?:,{one})*)?\}}"


def _condition(operations: Iterable[str]) -> str:
    return rf"(?:not\.)?(?:{'|'.join(operations)})"


def _compared(kind: ServedType, value: str) -> list[str]:
    """What every type takes; `value`: a value where the condition stands."""
    states = STATES if kind.name == "boolean" and not kind.array else STATES[:2]
    return [rf"(?:eq|neq|gte?|lte?|isdistinct)\.{value}", rf"is\.(?:{'|'.join(states)})"]


def _listed(one: str) -> str:
    return rf"in\.\((?:{one}(?:,{one})*)?\)"


def _within(kind: ServedType) -> list[str]:
    """Conditions on a column within a tree."""
    value = _IN_TREE if _is_text(kind) else _value(kind)
    return _compared(kind, value)


def _alone(kind: ServedType) -> list[str]:
    """Conditions on a column, behind its name alone."""
    if kind.array:
        return [*_compared(kind, _value(kind)), rf"(?:cs|cd|ov)\.{_value(kind)}"]
    if kind.name == "jsonb":
        return [*_compared(kind, _value(kind)), *_searched(ANY_TEXT)]
    if _is_text(kind):
        lists = rf"(?:eq|gte?|lte?|i?like)\((?:any|all)\)\.{_list_of(kind)}"
        return [
            *_compared(kind, ANY_TEXT),
            _listed(_IN_TREE),
            lists,
            rf"i?like\.{_LIKE}",
            _MATCHED,
            *_searched(ANY_TEXT),
        ]
    value = _value(kind)
    return [*_compared(kind, value), _listed(value), rf"(?:eq|gte?|lte?)\((?:any|all)\)\.{_list_of(kind)}"]


def _searched(text: str) -> list[str]:
    return [rf"(?:plfts|phfts|wfts){_LANGUAGES}\.{text}", rf"fts{_LANGUAGES}\.{_WORD}"]
