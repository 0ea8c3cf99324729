"""The key of a row to be explained: from a path, or from parameters, which can say each key."""

from collections.abc import Sequence
from urllib.parse import quote

from refold.api.errors import Fault, RowKeyInvalid
from refold.api.http.reads.planning.column_values import read_value
from refold.api.http.reads.request import read_key, read_texts
from refold.api.http.wire.parameters import bad_filter, refuse_unknown, shown
from refold.projections.tables.serving import ServedModel

Key = list[str | None]
"""The values of a key in the order of its columns, as text for Postgres."""
EXPLAIN = b"/explain"
PARAMETERS = ("limit", "order", "cursor")
"""Parameters of an explanation besides its key."""


def explained_key(raw: bytes) -> bytes | None:
    """The key in a path that ends with `/explain`, or None. A key that ends so itself has its slash percent-encoded."""
    return raw.removesuffix(EXPLAIN) if raw.endswith(EXPLAIN) else None


def key_of_path(model: ServedModel, raw: bytes) -> Key:
    """The key in a raw path. Raises RowKeyInvalid, FilterInvalid."""
    values = read_key(raw, len(model.key))
    if len(values) != len(model.key):
        message = f"the key of {model.name} is {','.join(model.key)}, not {shown(','.join(values))}"
        raise RowKeyInvalid(message, Fault("key", RowKeyInvalid.code, message))
    return [_value(model, name, value) for name, value in zip(model.key, values, strict=True)]


def key_of_parameters(model: ServedModel, raw: bytes, others: Sequence[str]) -> Key:
    """The key in a query string: `column=eq.VALUE` or `column=is.null` for each column. Raises as above.

    A column named as one of the other parameters stands in double quotes, and any other may.
    """
    quoted = {column: f'"{column}"' for column in model.key}
    names = {column: name if column in others else column for column, name in quoted.items()}
    refuse_unknown(raw, [*names.values(), *others], quoted.values())
    said = read_texts(raw, *names.values(), *quoted.values())
    for column, name in names.items():
        if name != quoted[column] and {name, quoted[column]} <= said.keys():
            raise bad_filter(column, f"{column} is there twice")
    return [_condition(model, column, name, said.get(name, said.get(quoted[column]))) for column, name in names.items()]


def key_of_text(model: ServedModel, text: str) -> Key:
    """The key as it is typed in a terminal, where nothing is percent-encoded. Raises as `key_of_path`."""
    return key_of_path(model, quote(text, safe=",").encode())


def key_of_conditions(model: ServedModel, conditions: Sequence[str]) -> Key:
    """The key as `column=eq.VALUE` or `column=is.null` for each column. Raises as `key_of_parameters`."""
    pairs = [quote(one, safe="=") for one in conditions]
    return key_of_parameters(model, "&".join(pairs).encode(), ())


def _condition(model: ServedModel, column: str, name: str, said: str | None) -> str | None:
    if said == "is.null":
        return None
    if said is None or not said.startswith("eq."):
        what = "is missing" if said is None else f"is {shown(said)}"
        raise bad_filter(name, f"{column} {what}: write {name}=eq.VALUE or {name}=is.null for each column of the key")
    return _value(model, column, said.removeprefix("eq."))


def _value(model: ServedModel, name: str, text: str) -> str:
    return read_value(next(column for column in model.columns if column.name == name), text)
