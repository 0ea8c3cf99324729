"""Who runs, how far each is, and what stands still: what `refold status` and the probes tell."""
