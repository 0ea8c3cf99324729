"""Named places at which a test can kill or stop a process: before and after each durable step.

Off unless FAILPOINTS_OF_REFOLD names a folder. A file in it with the name of a place arms that place once: the first
process there is killed or stopped, as the file says, and the file is removed.
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
    "replay.within-share",
    "replay.before-take",
    "replay.within-turn",
    "replay.within-flush",
    "replay.after-flush",
    "replay.before-join",
    "replay.after-join",
    "replay.before-meet",
    "replay.after-meet",
    "replay.before-preview",
    "replay.after-preview",
    "replay.before-keep",
    "replay.within-keep",
    "replay.after-keep",
    "replay.before-switch",
    "replay.within-switch",
    "replay.after-switch",
    "replay.within-prune",
    "replay.after-prune",
    "replay.before-repair",
    "replay.within-repair",
    "replay.after-repair",
    "prepare.before-mark",
    "prepare.after-mark",
    "prepared.within-takeover",
    "prepared.after-takeover",
)
_FOLDER = os.environ.get(VARIABLE)
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def failpoint(name: str) -> None:
    """Kill or stop this process if a test armed this place."""
    if _FOLDER is None:
        return
    path = Path(_FOLDER) / name
    try:
        action = path.read_text(encoding="utf-8").strip()
        path.unlink()
    except FileNotFoundError:
        return
    # To this thread: the main thread takes a signal to the process, and until it gets the CPU this thread would go on.
    signal.pthread_kill(threading.get_ident(), _SIGNALS[action])
