"""The documents of a bucket, typed: how they are read and written."""
