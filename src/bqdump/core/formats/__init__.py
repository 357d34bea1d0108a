"""File formats and types: what BigQuery writes, and what files say about themselves."""
