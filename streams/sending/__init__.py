"""Sends commands: encodes each as a record, and reports truthfully whether Kafka acknowledged it."""
