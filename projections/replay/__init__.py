"""A rebuild: the ordinary fold into tables beside the live ones, then joined at one position, compared, promoted."""
