"""What an author writes: read models as typed, frozen declarations, and the checks that they pass."""
