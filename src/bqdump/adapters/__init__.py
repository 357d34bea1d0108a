"""What stands behind the ports: BigQuery, Cloud Storage, a local folder, memory, and wrappers for retry and limits."""
