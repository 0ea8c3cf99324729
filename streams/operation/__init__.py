"""The facts that `refold status` and the probes tell: processes, their positions, and anything that stands still."""
