"""The read side: read `declaration.py`, then `models_process.py`."""
