"""BigQuery as a Warehouse, which is exported, and as a Destination, into which exports are restored."""
