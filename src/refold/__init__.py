"""Refold: commands in, immutable events in Kafka, read models in Postgres, all of them foldable again from the log.

Read in the order in which data flows: `refold.schemas` (contracts and bytes), `refold.streams` (the write side and the log's
rules), `refold.projections` (read models and replay), `refold.api` (HTTP and the command line).
"""

__version__ = "0.2.0"
