"""A stand-in for Cloud Storage: the JSON API on a folder, with all preconditions."""
