"""`refold demo`: a year of real receipts through the whole of Refold, checked to the cent. Read `run.py` first."""
