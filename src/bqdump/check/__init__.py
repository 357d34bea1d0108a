"""Checking an export against its files and its source, and a setup before a run."""
