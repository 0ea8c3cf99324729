"""Speaking to Kafka: clients, messages, record batches, and places that cannot be read on. Knows no table."""
