"""The `refold` command: `app.py` names every subcommand."""
