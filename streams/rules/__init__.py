"""The rules of the log: which records count, and their effects. Pure; equal for every reader (docs/log-rules.md)."""
