"""Iceberg tables over the Parquet files of an export: metadata, manifest lists and manifests, as bytes.

Nothing here is imported unless a run writes Iceberg tables. Source of all formats: https://iceberg.apache.org/spec/
"""
