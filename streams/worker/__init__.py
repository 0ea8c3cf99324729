"""The frame of every worker: a thread reads the assigned partitions, and chunks wait in order until they are folded."""
