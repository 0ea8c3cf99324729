"""Named places at which a test may kill or stop a process: before and after each durable step.

Off unless FAILPOINTS_OF_REFOLD names a folder. A file in it, named as the place, arms it once: `kill` or `stop` is done to the
process that comes there first, and the file is gone.
"""

import os
import signal
import threading
from pathlib import Path

VARIABLE = "FAILPOINTS_OF_REFOLD"
NAMES = (
    "handler.before-claim",
    "handler.after-claim",
    "handler.before-append",
    "handler.within-group",
    "handler.after-append",
    "core.before-write",
    "core.before-commit",
    "core.after-commit",
    "models.before-write",
    "models.before-commit",
    "models.after-commit",
    "reactors.before-send",
    "reactors.after-send",
    "reactors.before-commit",
    "reactors.after-commit",
)
_FOLDER = os.environ.get(VARIABLE)
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def failpoint(name: str) -> None:
    """Do what is armed here, if anything is."""
    if _FOLDER is None:
        return
    path = Path(_FOLDER) / name
    try:
        action = path.read_text(encoding="utf-8").strip()
        path.unlink()
    except FileNotFoundError:
        return
    # To this thread: a signal to the process is taken by its main thread, and until that has the CPU this one would go on.
    signal.pthread_kill(threading.get_ident(), _SIGNALS[action])
