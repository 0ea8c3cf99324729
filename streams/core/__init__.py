"""The core fold: claims, streams, outcomes, voids and positions, each a function of the log alone."""
