"""The local stack: stand-ins for BigQuery, Cloud Storage and Cloud Run on this machine."""
