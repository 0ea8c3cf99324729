"""What the API says of itself: OpenAPI, the schema registry, probes and metrics."""
