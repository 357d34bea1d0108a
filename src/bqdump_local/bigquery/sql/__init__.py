"""Queries in GoogleSQL, translated for DuckDB."""
