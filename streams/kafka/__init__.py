"""Speaks to Kafka: clients, messages, record batches, and places at which reading stops. Knows no table."""
