"""Descriptions of the API and its state: OpenAPI, the schema registry, probes and metrics."""
