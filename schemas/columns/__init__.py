"""Decodes many records at once: bodies of one schema as columns, checked as strictly as one by one."""
