"""Tells whether the disk of a folder is full."""

import os
import tempfile
from pathlib import Path

_NEEDED = 1 << 16
"""Bytes that a process needs at once, for example for a file of metrics."""


def is_full(folder: Path) -> bool:
    """Allocates a few bytes and frees them again, so quotas and reserved blocks count too."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, _NEEDED)
            else:
                file.write(bytes(_NEEDED))
                file.flush()
    except OSError:
        return True
    return False
