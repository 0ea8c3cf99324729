"""Sending commands: one becomes a record, and its producer reports truthfully what became of it."""
