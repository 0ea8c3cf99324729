"""Metric files with every byte allocated on disk before it is mapped into memory.

prometheus-client makes its files by `truncate`, so they are sparse: the first write to a page is a SIGBUS if the disk
is full. Here each byte is allocated before it is mapped. If the disk refuses, the values stay in memory, not shared.
"""

import errno
import logging
import mmap
import os
from pathlib import Path
from typing import BinaryIO

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

FIRST_BYTES = 1 << 16
_log = logging.getLogger(__name__)


class AllocatedDict(MmapedDict):
    """prometheus-client's dict of doubles, in a fully allocated file or else in memory."""

    _told = False
    _f: BinaryIO | None  # type: ignore[assignment] # None in memory

    def __init__(self, filename: str) -> None:
        try:
            _make(filename)
            super().__init__(filename)  # type: ignore[no-untyped-call]  # prometheus_client has no types there
        except OSError as error:
            self._fname, self._f, self._positions = filename, None, {}
            self._used = 8
            self._in_memory(FIRST_BYTES, self._used.to_bytes(8, "little"), error)

    def _init_value(self, key: str) -> None:
        needed = self._used + len(key.encode()) + 32  # length, padding and two doubles
        while needed > self._capacity:
            self._grow()
        super()._init_value(key)  # type: ignore[no-untyped-call]  # as above

    def _grow(self) -> None:
        old, new = self._capacity, self._capacity * 2
        if self._f is None:
            self._in_memory(new, self._m[:old])
            return
        try:
            _allocate(self._f.fileno(), old, new)
            self._m = mmap.mmap(self._f.fileno(), new)
            self._capacity = new
        except OSError as error:
            kept = self._m[:old]
            self.close()  # type: ignore[no-untyped-call]  # as above
            self._in_memory(new, kept, error)

    def _in_memory(self, size: int, content: bytes, error: OSError | None = None) -> None:
        self._m, self._capacity = mmap.mmap(-1, size), size
        self._m[: len(content)] = content
        if error is not None and not AllocatedDict._told:
            AllocatedDict._told = True
            _log.warning("metrics of this process are kept in memory, /metrics does not show them: %s", error)


def install() -> None:
    """Make prometheus-client keep its values this way. Call before the first metric is made."""
    values.MmapedDict = AllocatedDict  # type: ignore[attr-defined, assignment]  # the module is patched: it offers no other way


def _make(filename: str) -> None:
    """Make a file of the first size, or none, since an empty one crashes readers. Fill holes of an existing one."""
    file = os.open(filename, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    size = os.fstat(file).st_size
    try:
        _reserve(file, 0, size or FIRST_BYTES)
    except OSError:
        if not size:
            Path(filename).unlink(missing_ok=True)
        raise
    finally:
        os.close(file)


def _allocate(file: int, old: int, new: int) -> None:
    """Allocate bytes `old` … `new - 1`, or leave the file as it was."""
    try:
        _reserve(file, old, new)
    except OSError:
        os.ftruncate(file, old)
        raise


def _reserve(file: int, start: int, end: int) -> None:
    """Reserve disk space for these bytes. Without such a call (macOS) the missing bytes are written."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, start, end - start)
        return
    lacking = end - (size := os.fstat(file).st_size)
    if lacking > 0 and os.pwrite(file, bytes(lacking), size) < lacking:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
