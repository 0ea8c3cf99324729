"""How long a process may take to stop, as it keeps it itself and as its supervisor waits: the two have to agree."""

WORKER_S = 8.0
IN_FLIGHT_S = 10
"""For which a request of the API that has begun may go on after the drain."""
_CLOSING_S = 3.0
"""For what the API closes after the last request: pools, Kafka's clients."""


def grace_s(role: str, api_drain_s: float) -> float:
    """Seconds after which a process that was told to stop is killed."""
    return api_drain_s + IN_FLIGHT_S + _CLOSING_S if role == "api" else WORKER_S
