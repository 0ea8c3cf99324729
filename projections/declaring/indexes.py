"""Indexes of read models as authors declare them, and the checks that a declaration passes alone."""

from collections.abc import Collection

from refold.projections.errors import BadDeclaration

Indexes = tuple[str | tuple[str, ...], ...]
"""Indexes of a model's table, each a column or a tuple of columns. The rest of the key follows them by itself."""
_COLUMNS = 32
"""Most columns that an index of Postgres has."""


def columns_of(index: str | tuple[str, ...]) -> tuple[str, ...]:
    """The columns that an author wrote for one index."""
    return (index,) if isinstance(index, str) else index


def check_indexes(model: str, indexes: object, columns: Collection[str], key: Collection[str]) -> None:
    """Raise BadDeclaration for indexes that are no tuple, name no column or one twice, or are declared twice."""
    if not isinstance(indexes, tuple):
        raise BadDeclaration(
            f'{model}: its indexes are {indexes!r:.100}; write a tuple of columns or of tuples of them, such as ("day",)'
        )
    seen = set[tuple[str, ...]]()
    for index in indexes:
        where = f"{model}: the index {index!r:.100}"
        names = columns_of(index) if isinstance(index, str | tuple) else ()
        unknown = [name for name in names if name not in columns]
        if unknown or not names or len(set(names)) != len(names):
            named = f"names {', '.join(map(repr, unknown))}" if unknown else "has no column, or one twice"
            raise BadDeclaration(f"{where} {named}; its columns are some of {', '.join(columns)}")
        if names in seen:
            raise BadDeclaration(f"{where} is declared twice")
        if (number := len({*names, *key})) > _COLUMNS:
            raise BadDeclaration(f"{where} has {number} columns with the key; Postgres's have at most {_COLUMNS}")
        seen.add(names)
