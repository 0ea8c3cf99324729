"""`typings/` says of confluent_kafka only what the installed package has: each class, method, argument and attribute."""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

ROOT = Path(__file__).parent.parent
STUBS = sorted((ROOT / "typings").rglob("*.pyi"))
COMPILED = Path(confluent_kafka.__file__).with_name("cimpl.pyi")


def _classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for path in STUBS:
        module = ".".join(path.relative_to(ROOT / "typings").parent.parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                yield module, node


@pytest.mark.parametrize(("module", "stub"), list(_classes()), ids=lambda it: getattr(it, "name", it))
def test_a_stub_names_only_what_is_there(module: str, stub: ast.ClassDef) -> None:
    there = getattr(import_module(module), stub.name)
    for node in stub.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            assert _has(there, node.target.id), f"{stub.name} has no {node.target.id}"
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assert there[node.targets[0].id].value == ast.literal_eval(node.value)
        if isinstance(node, ast.FunctionDef):
            assert callable(getattr(there, node.name)), f"{stub.name} has no method {node.name}"
            taken = _arguments(there, node.name)
            given = [each.arg for each in (*node.args.args, *node.args.kwonlyargs) if each.arg not in {"self", "cls"}]
            assert taken is None or [name for name in given if name not in taken] == [], f"{stub.name}.{node.name}"


def test_the_check_itself_sees_what_is_not_there() -> None:
    wrong = ast.parse("class Consumer:\n    def poll(self, seconds: float) -> None: ...").body[0]
    assert isinstance(wrong, ast.ClassDef)
    with pytest.raises(AssertionError, match=r"Consumer\.poll"):
        test_a_stub_names_only_what_is_there("confluent_kafka", wrong)


def _has(there: Any, name: str) -> bool:
    """Of the class, of what the compiled class says of itself, or set by its constructor."""
    if hasattr(there, name):
        return True
    try:
        return re.search(rf"self\.{name}\b[^=]*=", inspect.getsource(there)) is not None
    except (OSError, TypeError):
        return any(
            isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name
            for node in _compiled()[there.__name__].body
        )


def _arguments(there: Any, method: str) -> set[str] | None:
    """Names of a method's arguments; None if it takes any."""
    for each in there.__mro__:
        if method in vars(each) and each.__name__ in _compiled():
            found = [n for n in _compiled()[each.__name__].body if isinstance(n, ast.FunctionDef) and n.name == method]
            if not found or any(node.args.kwarg for node in found):
                return None
            return {
                each.arg for node in found for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            }
        if method in vars(each) and each is not object:
            there_is = vars(each)[method]  # a class's method is wrapped there
            parameters = inspect.signature(getattr(there_is, "__func__", there_is)).parameters
            if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
                return None
            return set(parameters)
    return None


@cache
def _compiled() -> dict[str, ast.ClassDef]:
    return {node.name: node for node in ast.parse(COMPILED.read_text()).body if isinstance(node, ast.ClassDef)}
