"""Whether a folder's disk has no room."""

import os
import tempfile
from pathlib import Path

_NEEDED = 1 << 16
"""What a process allocates at once: a file of metrics, say."""


def is_full(folder: Path) -> bool:
    """By taking a little room and giving it back: quotas and reserved blocks count too."""
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
