"""Cloud Storage as an ObjectStore."""
