"""How a listener is closed so that nobody whom it took is reset: new clients are left unanswered, those in its queue are taken, then it closes.

The kernel finishes handshakes by itself. A socket that is closed resets whoever waits in its queue, though they were told that they are
connected. So the first packet of every new client is dropped beforehand: it is sent again after a second, and meets whoever listens then.
"""

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress

_SO_ATTACH_FILTER = 26
_FLAGS, _SYN, _ACK = 13, 0x02, 0x10
_LOAD_BYTE, _AND, _IS, _RETURN = 0x30, 0x54, 0x15, 0x06
_DROP_NEW = (
    (_LOAD_BYTE, 0, 0, _FLAGS),
    (_AND, 0, 0, _SYN | _ACK),
    (_IS, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, 0xFFFFFFFF),
)
"""In the kernel's packet filter: a SYN alone is dropped, all else passes, so that handshakes under way end."""


def take_no_new(listeners: Iterable[int]) -> None:
    """Drop what begins a connection to these sockets. Where there is no such filter (not Linux) nothing changes."""
    if not sys.platform.startswith("linux"):
        return
    program = b"".join(struct.pack("HBBI", *step) for step in _DROP_NEW)
    steps = ctypes.create_string_buffer(program)
    # struct sock_fprog: how many steps, padding, where they are
    given = struct.pack("HL", len(_DROP_NEW), ctypes.addressof(steps))
    for listener in listeners:
        with suppress(OSError), socket.socket(fileno=os.dup(listener)) as same:
            same.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, given)
