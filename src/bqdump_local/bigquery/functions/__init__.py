"""BigQuery's functions and operators where DuckDB's give another result: calls of macros, or a refusal by name."""
