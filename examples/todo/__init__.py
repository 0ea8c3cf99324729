"""Tasks on lists: the smallest complete domain."""
