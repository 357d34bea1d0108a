"""Retention: which runs are kept, and how the others are deleted. `prune` is the table of contents."""
