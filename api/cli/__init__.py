"""The `refold` command; `app.py` lists every subcommand."""
