"""Units in which the time between two times is counted."""

MICROS = {"seconds": 1_000_000, "minutes": 60_000_000, "hours": 3_600_000_000, "days": 86_400_000_000}
"""Microseconds of each."""
