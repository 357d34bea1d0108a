"""Statements that define, change or read tables."""
