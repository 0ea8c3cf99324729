"""Every name of our own code that an author's name could meet, read from the code so that new ones are included."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import refold.api
import refold.projections
import refold.schemas
import refold.streams

_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|FROM|WHERE|CASE)\b|\{[a-z]\}")
_FRAMES = frozenset({"with_columns", "select", "agg", "rename", "group_by", "sort", "DataFrame", "struct"})


@cache
def own_names() -> list[str]:
    """Words that are a string of their own, that stand in SQL, or that name a column of a frame."""
    folders = [
        Path(next(iter(package.__path__)))
        for package in (refold.api, refold.projections, refold.schemas, refold.streams)
    ]
    files = [file for folder in folders for file in folder.rglob("*") if "retail" not in file.parts[-1]]
    found: set[str] = set()
    for file in files:
        if file.suffix == ".py":
            found.update(_of_code(ast.parse(file.read_text(encoding="utf-8"))))
        elif file.suffix == ".sql":
            found.update(_WORD.findall(file.read_text(encoding="utf-8")))
    return sorted(found)


def _of_code(tree: ast.Module) -> Iterator[str]:
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            if _WORD.fullmatch(node.value):
                yield node.value
            elif _SQL.search(node.value):
                yield from _WORD.findall(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FRAMES:
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)
