"""The frame of every worker: a thread reads a group's partitions, chunks wait in order, and a fold is offered them."""
