"""What came of a command: its outcome, its events, the rows that these change, and the commands that answer them."""
