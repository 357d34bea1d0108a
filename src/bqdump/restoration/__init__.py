"""Restoring an export into a dataset."""
