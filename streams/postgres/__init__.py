"""Speaks to Postgres: connections, pipelines, positions, the platform's tables and migrations. Knows no Kafka."""
