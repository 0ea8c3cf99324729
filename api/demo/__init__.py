"""The demo `refold demo`: sends a year of real receipts through all of Refold, checked to the cent.

Read `run.py` first.
"""
