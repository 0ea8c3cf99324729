"""File descriptors: as many as the connections promised need, or fewer connections, and said; beyond them the system resets without a word."""

import logging
import resource

OWN = 120
"""For what is not a client's connection: files, pools, Kafka's client, the listener."""
_log = logging.getLogger(__name__)


def connections_possible(promised: int) -> int:
    """Raise the soft limit as far as `promised` connections need; how many of them there is room for. Says so once if fewer."""
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
