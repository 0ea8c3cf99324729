"""File descriptors: enough for the promised connections, or fewer connections and a log line. Without descriptors the system resets clients silently."""

import logging
import resource

OWN = 120
"""Descriptors for everything but clients' connections: files, pools, Kafka's client, the listener."""
_MOST = 1 << 20
"""More than any process of ours has use for; containers give limits of a billion."""
_FEW = 8
_log = logging.getLogger(__name__)


def connections_possible(promised: int) -> int:
    """Raise the soft limit for `promised` connections and return how many have room. Logs once if they are fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = promised + OWN
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = hard if hard != resource.RLIM_INFINITY else wanted
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return promised
    possible = max(1, soft - OWN)
    _log.warning(
        "%d file descriptors leave room for %d connections, not %d: raise the hard limit (ulimit -n) to %d",
        *(soft, possible, promised, wanted),
    )
    return possible


def raise_limit() -> None:
    """Raise the soft limit to the hard one: of a process that promises no connections, but has clients, files and a door."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def warn_if_few(descriptor: int) -> None:
    """Of a connection just taken. The system gives the least number that is free, so one close to the limit is one of the last."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft - descriptor <= _FEW:
        _log.warning(
            "the file descriptors (ulimit -n) are used up but for a few: further connections are reset by the system"
        )
