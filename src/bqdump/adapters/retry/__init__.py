"""Retry of what is more than one request: writes, batches, listings, streams. How long: adapters.patience."""
