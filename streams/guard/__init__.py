"""Work that may kill its process: it is noted before it is tried, and the record that kills is set aside."""
