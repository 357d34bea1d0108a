"""Datasets and tables, as they are stored."""
