"""Reads over HTTP: parse, plan, query, answer; read models by row and by page, and single streams."""
