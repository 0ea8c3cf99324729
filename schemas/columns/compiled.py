"""Whether the compiled loops of `kernels` can be used: numba is installed, and has been loaded."""

import importlib
import logging
from importlib.util import find_spec
from threading import Lock
from types import ModuleType

_log = logging.getLogger(__name__)
_loading = Lock()
_found: list[ModuleType] = []


def loaded() -> ModuleType | None:
    """The compiled loops, or None while they are not loaded."""
    return _found[0] if _found else None


def load() -> ModuleType | None:
    """Load the loops: a third of a second, or five seconds where this version was never loaded. None without numba."""
    with _loading:
        if not _found and find_spec("numba") is not None:
            try:
                module = importlib.import_module("refold.schemas.columns.kernels")
                module.warm()
            except Exception as problem:  # what is wrong with an extra must not stop anybody: nothing needs it
                _log.warning("numba cannot be used: %s: %s", type(problem).__name__, problem)
            else:
                _found.append(module)
        return loaded()
