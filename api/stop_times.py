"""How long a process may take to stop. The process and its supervisor read the same figures."""

WORKER_S = 8.0
IN_FLIGHT_S = 10
"""Seconds for which a request that has begun may go on after the API's drain."""
_CLOSING_S = 3.0
"""Seconds for the API to close pools and Kafka's clients after the last request."""


def grace_s(role: str, api_drain_s: float) -> float:
    """Seconds after which a process that was told to stop is killed."""
    return api_drain_s + IN_FLIGHT_S + _CLOSING_S if role == "api" else WORKER_S
