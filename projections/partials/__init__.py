"""What some events add to a model's rows, and how two such results become one: in Polars, in Python, in SQL."""
