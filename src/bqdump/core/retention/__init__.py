"""Retention: which runs a policy keeps, and which files nothing names any more."""
