"""bqdump: export every table of a BigQuery dataset to Cloud Storage, at one moment, published only when whole."""

__version__ = "0.1.0"
