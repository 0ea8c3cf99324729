"""Partial results: what some events add to a model's rows, and how two results merge, in Polars, Python and SQL."""
