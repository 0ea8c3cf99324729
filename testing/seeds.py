"""Calls a function again in processes that hash texts otherwise: the order of a set is another one in each process.

A process is started when a function first meets a set, and ends with ours. `answers` is the near side, `serve` the far one.
"""

import os
import pickle
import sys
from atexit import register
from collections.abc import Callable, Generator
from importlib import import_module
from subprocess import PIPE, Popen
from typing import IO, Any

_SEEDS = (1, 2, 3)
_LENGTH = 8
_UNKNOWN = b"unknown"
_PROGRAM = "from refold.testing.seeds import serve; serve()"
_others: list[Popen[bytes]] = []


def answers(function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Any]:
    """The answers of other processes to the same call; none if they cannot import the function."""
    module, name = function.__module__, function.__qualname__
    if module == "__main__" or "<" in name:
        return []
    call = pickle.dumps((sys.path, module, name, arguments))
    if not _others:
        _start()
    for other in _others:
        assert other.stdin is not None
        _write(other.stdin, call)
    found = [_read(other.stdout) for other in _others if other.stdout is not None]
    return [pickle.loads(one) for one in found if one and one != _UNKNOWN]  # noqa: S301 - from a process of ours


def _start() -> None:
    for seed in _SEEDS:
        env = {**os.environ, "PYTHONHASHSEED": str(seed)}
        _others.append(Popen([sys.executable, "-c", _PROGRAM], stdin=PIPE, stdout=PIPE, env=env))
    register(_stop)


def _stop() -> None:
    for other in _others:
        other.communicate()
    _others.clear()


def _write(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(_LENGTH) + message)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes:
    length = pipe.read(_LENGTH)
    return bytes(pipe.read(int.from_bytes(length))) if length else b""


def _answer(call: bytes) -> bytes:
    try:
        path, module, name, arguments = pickle.loads(call)  # noqa: S301 - from the process that started this one
        sys.path[:] = path
        function: Any = import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        answer = function(*arguments)
        return pickle.dumps(tuple(answer) if isinstance(answer, Generator) else answer)
    except Exception:  # it is told by the call at home; here it only cannot be compared
        return _UNKNOWN


def serve() -> None:
    """Answer calls until the input ends. What authors' code prints goes to the error stream."""
    pipe, sys.stdout = sys.stdout.buffer, sys.stderr
    while call := _read(sys.stdin.buffer):
        _write(pipe, _answer(call))
