"""Commands over HTTP: parse, look up or append, wait, answer; one at a time or many in a batch."""
