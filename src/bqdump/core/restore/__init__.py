"""Restoring: what a manifest says about a dataset, turned into requests that rebuild it."""
