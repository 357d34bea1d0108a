"""What BigQuery says of datasets and tables, and what follows for any use of them."""
