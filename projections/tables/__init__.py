"""Declared models as tables and views in Postgres: layouts, names, builds, and what the API may serve."""
