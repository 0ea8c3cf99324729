"""File descriptors: enough for the promised connections, or fewer connections and a log line. Without descriptors the system resets clients silently."""

import logging
import resource

OWN = 120
"""Descriptors for everything but clients' connections: files, pools, Kafka's client, the listener."""
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
