"""Handling of Ctrl-C and SIGTERM, which mean the same: stop the processes that were started, then leave."""

import signal


def interrupt_on_sigterm() -> None:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def finish_undisturbed() -> None:
    """Ignore further requests to stop: stopping has begun and its time is bounded."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
