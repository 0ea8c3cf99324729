"""Read models as authors declare them: typed, frozen declarations, and the checks that they pass."""
