"""Dumps the log to files while everything runs, checks the files, and restores the log from them."""
