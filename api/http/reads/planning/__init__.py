"""A query and a read model's declaration become one statement: names come from the declaration, and a client's texts are bound values."""
