"""Guards work that may kill its process: notes it before trying it, and sets aside the record that kills."""
