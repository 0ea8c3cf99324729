"""Speaking to Postgres: connections, pipelines, positions, and the platform's own tables with their migrations. Knows no Kafka."""
