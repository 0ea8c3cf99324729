"""Traces a command: its outcome, its events, the rows that they change, and the commands with which reactors answer."""
