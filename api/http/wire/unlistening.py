"""Closes a listener without a reset for any client: new clients are left unanswered, those in its queue are accepted, then it closes.

The kernel finishes handshakes by itself. A socket that closes resets the clients in its queue, although they count as connected. So the
first packet of every new client is dropped before that: the client sends it again after a second, and reaches the next listener.
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
"""A program for the kernel's packet filter: it drops a SYN alone and passes all else, so that handshakes under way end."""


def take_no_new(listeners: Iterable[int]) -> None:
    """Drop packets that begin a connection to these sockets. On systems without this filter (all but Linux) nothing changes."""
    if not sys.platform.startswith("linux"):
        return
    program = b"".join(struct.pack("HBBI", *step) for step in _DROP_NEW)
    steps = ctypes.create_string_buffer(program)
    # struct sock_fprog: how many steps, padding, where they are
    given = struct.pack("HL", len(_DROP_NEW), ctypes.addressof(steps))
    for listener in listeners:
        with suppress(OSError), socket.socket(fileno=os.dup(listener)) as same:
            same.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, given)
