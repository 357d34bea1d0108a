"""Rows on their way into tables and out of them: loads, extracts, streamed rows, and defaults of columns."""
