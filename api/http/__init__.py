"""The HTTP API: `application.py` names every route; each is parse, plan, query, answer, and only `query` does I/O."""
