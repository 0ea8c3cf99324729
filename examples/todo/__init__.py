"""Tasks on lists: the smallest whole domain."""
