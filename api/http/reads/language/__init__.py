"""PostgREST's query language as pure data: a query string becomes an immutable tree, and a tree becomes a query string. Knows no read model, no SQL."""
