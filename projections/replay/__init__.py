"""A rebuild is the ordinary fold into tables beside the live ones, joined at one position, compared, and promoted."""
