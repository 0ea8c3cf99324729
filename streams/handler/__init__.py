"""The handler: it claims partitions of commands, decides their commands in order, and appends the results."""
