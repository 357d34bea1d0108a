"""The ObjectStore on S3, and on services that have its API."""
