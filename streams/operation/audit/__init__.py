"""Audits the log against the core's tables, partition by partition: what was sent, decided, counted and left out."""
