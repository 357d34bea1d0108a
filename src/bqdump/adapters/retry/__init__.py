"""Retry as wrappers around the ports. How long they retry: adapters.patience."""
