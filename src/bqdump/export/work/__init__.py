"""Exporting tables, by jobs or by reading them."""
