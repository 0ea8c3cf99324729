"""The core fold: it computes claims, streams, outcomes, voids and positions from the log alone."""
