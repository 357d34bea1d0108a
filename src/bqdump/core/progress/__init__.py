"""The events of a run, and its progress in numbers."""
