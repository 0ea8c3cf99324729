"""A real Kafka and Postgres from PyPI and Maven Central alone: read `servers.py`, then `kafka.py` and `postgres.py`."""
