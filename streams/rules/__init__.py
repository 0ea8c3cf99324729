"""The rules of the log: which records count, and what those do. Pure; computed alike by every reader (docs/log-rules.md)."""
