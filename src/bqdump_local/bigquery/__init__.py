"""A local stand-in for the BigQuery API, based on DuckDB."""

from bqdump_local.bigquery.app import create_app
from bqdump_local.bigquery.settings import JobSettings

__all__ = ["JobSettings", "create_app"]
