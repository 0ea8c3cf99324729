"""Memory of a replay: the bound that an operator sets, and the share of it that rows may take before they are written."""

import re

from refold.projections.errors import BadMemory

DEFAULT = "1GB"
_UNITS = {"MB": 10**6, "MiB": 1 << 20, "GB": 10**9, "GiB": 1 << 30}
_BESIDE = 640 << 20
"""Bytes that all else takes: the program, its libraries with the compiled loops, and the batches that are read and decoded.

As `benchmarks.rebuild --times 11` found: with 512 MiB, and three copies below, a rebuild of 20 million records took 1.27 GB instead of 1 GB.
"""
_COPIES = 5
"""A table's rows are in memory up to five times while they are merged: before, in groups, behind, sorted, and as text for Postgres."""
_LEAST = 800 * 10**6


def rows_room(text: str) -> int:
    """Bytes of rows that a process may hold, if it may take so much memory in all, as `1GB`. Raises BadMemory."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})(MB|MiB|GB|GiB)", text, re.ASCII)
    if found is None:
        raise BadMemory(f"--memory {text}: write a whole number and MB, GB, MiB or GiB, for example 2GB")
    bytes_ = int(found[1]) * _UNITS[found[2]]
    if bytes_ < _LEAST:
        raise BadMemory(f"--memory {text}: a replay takes at least {_LEAST // 10**6}MB")
    return (bytes_ - _BESIDE) // _COPIES


ROOM = rows_room(DEFAULT)
