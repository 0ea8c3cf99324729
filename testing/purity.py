"""Holds a function to what the platform relies on: its answer depends on its arguments alone, and it changes nothing.

`pure(function)` calls it twice. Meanwhile Python tells us of each call into C, where clocks, randomness and files are.
"""

import copy
import dis
import gc
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date
from functools import partial, wraps
from itertools import pairwise
from random import Random
from typing import Any

from refold.testing.seeds import answers

_MODULES = {
    "time": "the clock",
    "posix": "the operating system",
    "nt": "the operating system",
    "_io": "a file",
    "_socket": "the network",
    "_thread": "a thread",
    "_random": "randomness",
    "_uuid": "randomness",
}
_TIME = frozenset(
    {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "thread_time"}
    | {"localtime", "gmtime", "ctime", "asctime", "sleep"}
)
_HARMLESS = frozenset({"fspath", "acquire", "release", "__enter__", "__exit__", "get_ident", "RLock", "allocate_lock"})
"""Of locks and paths; libraries use them between a call and its answer."""
_CLOCKS = frozenset({"now", "today", "utcnow"})
_BUILTINS = {
    "open": "a file",
    "print": "the terminal",
    "input": "the terminal",
    "id": "an address",
    "hash": "a hash that each process seeds anew",
}
_MUTABLE = (list, dict, set, bytearray)
_SETS = frozenset({"set", "frozenset"})


class Impure(AssertionError):
    """A function does what no rule, fold or reactor may do."""


def pure(function: Callable[..., Any], whole: Callable[[Any], Any] = lambda answer: answer) -> Callable[..., Any]:
    """The function, called twice and watched at each call. It raises Impure. `whole` reads an answer that is a generator."""
    makes_sets = _makes_sets(function)

    @wraps(function)
    def watched(*arguments: Any) -> Any:
        name, known = function.__qualname__, _Known(function)
        given = copy.deepcopy(arguments)
        with _watching(function, name):
            first = whole(function(*arguments))
        if arguments != given:
            raise Impure(f"{name} changed what it was given: {_changed(given, arguments)}")
        known.compare(name)
        second = whole(function(*given))
        sets = makes_sets or _holds_set(given)
        if first != second:
            why = ", perhaps by the order of a set" if sets else ""
            raise Impure(f"{name} gave two answers to the same question{why}:\n  {first}\n  {second}")
        for other in map(whole, answers(_inner(function), given) if sets else ()):
            if other != first:
                raise Impure(f"{name} reads the order of a set, which differs by process:\n  {first}\n  {other}")
        if found := _float_in(first):
            raise Impure(f"{name} gave the float {found}: a sum of floats depends on its order, so use Decimal")
        return first

    return watched


def _makes_sets(function: Callable[..., Any]) -> bool:
    """Whether the code of a function, or of one that it calls in its module, makes a set."""
    codes = [code for one in _functions(_inner(function)) for code in _within(one.__code__)]
    return any(_SETS & set(code.co_names) or _builds_sets(code) for code in codes)


def _within(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _within(inner)


def _builds_sets(code: types.CodeType) -> bool:
    """Whether code makes a set; a constant one that it only looks into does not count."""
    steps = list(dis.get_instructions(code))
    constants = [
        then.opname
        for step, then in pairwise(steps)
        if step.opname == "LOAD_CONST" and isinstance(step.argval, frozenset)
    ]
    return any(step.opname in {"BUILD_SET", "SET_ADD"} for step in steps) or any(
        then != "CONTAINS_OP" for then in constants
    )


@contextmanager
def _watching(function: Callable[..., Any], name: str) -> Iterator[None]:
    before, home = sys.getprofile(), _code(function).co_filename

    def look(frame: types.FrameType, event: str, called: Any) -> None:
        if _imports(frame):
            return
        if event == "c_call" and (what := _forbidden(called, at_home=frame.f_code.co_filename == home)):
            sys.setprofile(before)
            raise Impure(f"{name} reads {what}: {called.__name__}() in line {_line(frame, home)}")
        if event == "call" and frame.f_code in _ENVIRONMENT:
            sys.setprofile(before)
            raise Impure(f"{name} reads the environment in line {_line(frame, home)}")

    # A collection may begin at any allocation, and what others have it call, such as a clock, is not the function's.
    collects = gc.isenabled()
    gc.disable()
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()


def _environment() -> frozenset[types.CodeType]:
    reads = (type(os.environ).__getitem__, type(os.environ).__iter__, os.getenv)
    return frozenset(read.__code__ for read in reads if isinstance(read, types.FunctionType))


_ENVIRONMENT = _environment()


def _forbidden(called: Any, *, at_home: bool) -> str:
    """What a call into C reads, if the answer of a pure function may not depend on it."""
    name, owner = called.__name__, getattr(called, "__self__", None)
    if isinstance(owner, Random):
        return "randomness"
    if name in _CLOCKS and isinstance(owner, type) and issubclass(owner, date):
        return "the clock"
    module = getattr(called, "__module__", None) or type(owner).__module__
    if module in {"builtins", "io"}:
        return _BUILTINS.get(name, "") if at_home or name not in {"id", "hash"} else ""
    if (module == "time" and name not in _TIME) or name in _HARMLESS:
        return ""
    return _MODULES.get(module, "")


def _imports(frame: types.FrameType | None) -> bool:
    """Whether a call comes from an import statement: a function may import what it uses."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _line(frame: types.FrameType | None, home: str) -> str:
    """The line of the author's file from which a call came."""
    while frame is not None and frame.f_code.co_filename != home:
        frame = frame.f_back
    return f"{frame.f_lineno} of {home.rpartition('/')[2]}" if frame is not None else "?"


class _Known:
    """What a function can reach and change besides its arguments: globals, what it encloses, its defaults."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._reached = dict(_reached(_inner(function)))
        self._before = {where: copy.deepcopy(value) for where, (_, value) in self._reached.items()}

    def compare(self, name: str) -> None:
        """Raises Impure if something has changed since."""
        for where, (again, _) in self._reached.items():
            if again() != self._before[where]:
                raise Impure(f"{name} changed {where}, which outlives the call")


def _reached(function: types.FunctionType) -> Iterator[tuple[str, tuple[Callable[[], Any], Any]]]:
    """Name, a way to read it again, and value, of all that may be changed."""
    for owner in _functions(function):
        names, stored = _names(owner.__code__)
        for name in sorted(names):
            value = owner.__globals__.get(name)
            if isinstance(value, _MUTABLE) or name in stored:
                yield f"the global {name}", (partial(owner.__globals__.get, name), value)
        for number, cell in enumerate(owner.__closure__ or ()):
            if isinstance(cell.cell_contents, (*_MUTABLE, int, str)):
                named = f"the enclosed {owner.__code__.co_freevars[number]}"
                yield named, (partial(getattr, cell, "cell_contents"), cell.cell_contents)
        defaults = owner.__defaults__ or ()
        for number, default in enumerate(defaults):
            if isinstance(default, _MUTABLE):
                yield f"a default of {owner.__name__}", (partial(defaults.__getitem__, number), default)


def _functions(function: types.FunctionType) -> list[types.FunctionType]:
    """The function, and those of its module that it calls by name."""
    found, left = [function], [function]
    while left:
        names, _ = _names(left.pop().__code__)
        for name in names:
            other = function.__globals__.get(name)
            if isinstance(other, types.FunctionType) and other.__module__ == function.__module__ and other not in found:
                found.append(other)
                left.append(other)
    return found


def _names(code: types.CodeType) -> tuple[set[str], set[str]]:
    """The global names that code reads, and those that it stores, nested code included."""
    read, stored = set[str](), set[str]()
    for one in _within(code):
        read |= set(one.co_names)
        stored |= {str(step.argval) for step in dis.get_instructions(one) if step.opname == "STORE_GLOBAL"}
    return read, stored


def _inner(function: Callable[..., Any]) -> types.FunctionType:
    """The author's function under what wraps it. Raises TypeError for anything but a function."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType):
        raise TypeError(f"{function!r:.100} is no function")
    return function


def _code(function: Callable[..., Any]) -> types.CodeType:
    return _inner(function).__code__


def _changed(before: tuple[Any, ...], after: tuple[Any, ...]) -> str:
    return next(f"{was!r:.200} is now {now!r:.200}" for was, now in zip(before, after, strict=True) if was != now)


def _float_in(value: Any) -> float | None:
    """A float within a value, at any depth."""
    return next((part for part in _all_of(value) if isinstance(part, float)), None)


def _holds_set(value: Any) -> bool:
    return any(isinstance(part, set | frozenset) for part in _all_of(value))


def _all_of(value: Any) -> Iterator[Any]:
    """A value and all within it, at any depth."""
    yield value
    parts: Iterable[Any] = ()
    if hasattr(value, "__struct_fields__"):
        parts = [getattr(value, name) for name in value.__struct_fields__]
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, one.name) for one in fields(value)]
    elif isinstance(value, Mapping):
        parts = [*value, *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = value
    for part in parts:
        yield from _all_of(part)
