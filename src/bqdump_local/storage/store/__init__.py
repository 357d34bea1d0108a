"""Buckets and objects, as they are stored."""
