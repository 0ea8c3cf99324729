"""The log as a whole: its topics, its ends, its history, and whether it is the one that the tables were folded from."""
