"""Orders the places in which domains' modules are searched, equally in every process of Refold.

1. the folders of the setting `domain_path`; 2. those of PYTHONPATH; 3. installed packages; 4. the current folder, last.
Python itself puts the current folder first for `python -m` and leaves it out for a script, so processes would run
different copies.
"""

import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path


def order_search(domain_path: Sequence[Path]) -> None:
    """Put `sys.path` in order, at the start of a process."""
    here = str(Path.cwd())
    if not sys.flags.safe_path and sys.path and sys.path[0] in {"", here}:
        del sys.path[0]  # Python put it there; a second mention comes from PYTHONPATH
    named = [str(folder) for folder in domain_path]
    sys.path[:] = [*named, *(entry for entry in sys.path if entry not in named)]
    if here not in sys.path:
        sys.path.append(here)


def searched() -> list[str]:
    """The folders in which a domain is searched, in order, without Python's own library."""
    own = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    inside = tuple(f"{folder}/lib-dynload" for folder in own)
    return [
        entry or str(Path.cwd())
        for entry in dict.fromkeys(sys.path)
        if entry not in own and not entry.endswith(".zip") and not entry.startswith(inside)
    ]
