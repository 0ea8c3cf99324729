"""Explains rows: finds the events behind a row in the log, and says which columns each event changed."""
