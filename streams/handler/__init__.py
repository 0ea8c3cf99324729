"""The handler: owns partitions of commands by claim, decides them in order, and appends what was decided."""
