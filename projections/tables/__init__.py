"""Declared models as tables and views in Postgres: layouts, names, builds, and the models that the API may serve."""
