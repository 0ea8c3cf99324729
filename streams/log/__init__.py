"""The log as a whole: its topics, ends and history, and whether the tables were folded from it."""
