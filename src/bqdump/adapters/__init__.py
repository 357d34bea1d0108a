"""Implementations of the ports: BigQuery, Cloud Storage, a local folder, memory, and wrappers for retry and limits."""
