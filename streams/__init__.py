"""The write side and the rules of the log: read `domain.py`, then `fold.py`, then the processes `core_process.py` and `handler_process.py`."""
