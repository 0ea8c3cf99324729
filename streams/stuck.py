"""Ends a process whose attempt uses more CPU time than allowed. This counts as a death on the attempt's records.

Only the thread's own CPU time counts: waiting for a server, or being stopped, uses none. A watcher reads it each
second. Code that never releases the interpreter's lock blocks the watcher too. Then a timer of the process's CPU time
runs out, which the watcher resets each second, and its signal ends the process without that lock.
"""

import ctypes
import faulthandler
import logging
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from refold.streams import journal
from refold.streams.exit_codes import WORK_FAILED

_log = logging.getLogger(__name__)
TICK_S = 1.0
UNWATCHED = 2
"""Limit of that timer as a multiple of the attempt's limit: the timer counts all threads, not only the attempt's."""
_STDERR = 2
_system = ctypes.CDLL(None)
_system.signal.argtypes, _system.signal.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
_began: dict[int, float] = {}
_reading = threading.Lock()
"""Held while clocks are read: the clock of a thread that has ended must not be read."""


def begin() -> None:
    """This thread begins an attempt, or the next one."""
    with _reading:
        _began[threading.get_ident()] = time.thread_time()


def end() -> None:
    """This thread's attempt is over."""
    with _reading:
        _began.pop(threading.get_ident(), None)


def goes_on() -> None:
    """This thread's attempt, if any, is long but makes progress, so its time starts again."""
    if threading.get_ident() in _began:
        begin()


class StuckWatch:
    """Watches the attempts of this process's threads."""

    def __init__(self, limit_s: float, tick_s: float = TICK_S) -> None:
        self._limit_s, self._tick_s = limit_s, tick_s
        self._closed = threading.Event()
        _handle_by(ctypes.cast(_system._exit, ctypes.c_void_p))  # noqa: SLF001 - the C library's name for it
        faulthandler.register(signal.SIGPROF, file=_STDERR, all_threads=True, chain=True)
        self._wind_up()
        self._watcher = threading.Thread(target=self._watch, name="stuck-watch", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self._watcher.join()
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.unregister(signal.SIGPROF)
        _handle_by(None)

    def _watch(self) -> None:
        while not self._closed.wait(self._tick_s):
            self._wind_up()
            with _reading:
                used = {thread: cpu_s(thread) - began for thread, began in _began.items()}
                for thread in [thread for thread, seconds in used.items() if seconds > self._limit_s]:
                    self._end_process(thread, used[thread])

    def _wind_up(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, UNWATCHED * self._limit_s + self._tick_s)

    def _end_process(self, thread: int, used_s: float) -> None:
        frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, and the only way to another thread's frame
        where = "".join(traceback.format_stack(frame)) if frame else ""
        _log.critical(
            "after %.1f s of CPU time an attempt is not done (stuck_cpu_s is %g): the process ends, which is a death on its records\n%s",
            used_s,
            self._limit_s,
            where,
        )
        journal.leave(WORK_FAILED)


def _handle_by(function: ctypes.c_void_p | None) -> None:
    """Set the handler that runs after faulthandler's. None: the default, which spares process 1 of a container."""
    _system.signal(signal.SIGPROF, function)


@contextmanager
def watching(limit_s: float) -> Iterator[None]:
    """Watch while the block lasts."""
    watch = StuckWatch(limit_s)
    try:
        yield
    finally:
        watch.close()


if sys.platform == "darwin":  # which has no pthread_getcpuclockid

    class _BasicInfo(ctypes.Structure):
        _fields_ = (
            *[(name, ctypes.c_int) for name in ("user_s", "user_us", "system_s", "system_us")],
            ("rest", ctypes.c_int * 6),
        )

    _BASIC_INFO, _WORDS = 3, 10
    _system.pthread_mach_thread_np.argtypes = [ctypes.c_void_p]
    _system.pthread_mach_thread_np.restype = ctypes.c_uint

    def cpu_s(thread: int) -> float:
        """Seconds of CPU time that a living thread has used; 0 if the system does not tell."""
        info, words = _BasicInfo(), ctypes.c_uint(_WORDS)
        port = _system.pthread_mach_thread_np(thread)
        if _system.thread_info(port, _BASIC_INFO, ctypes.byref(info), ctypes.byref(words)) != 0:
            return 0.0
        return float(info.user_s + info.system_s) + (info.user_us + info.system_us) / 1e6
else:

    def cpu_s(thread: int) -> float:
        """Seconds of CPU time that a living thread has used."""
        return time.clock_gettime(time.pthread_getcpuclockid(thread))
