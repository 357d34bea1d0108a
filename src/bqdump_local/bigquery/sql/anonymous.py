"""Anonymous tables: where the rows of queries without a destination are.

Source: https://cloud.google.com/bigquery/docs/cached-results
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from bqdump_local.bigquery.errors import BigQueryError

if TYPE_CHECKING:
    import duckdb

    from bqdump_local.bigquery.sql.translation import Translation
    from bqdump_local.bigquery.tables.catalog import Catalog
    from bqdump_local.bigquery.types import Field

LIFETIME_MS = 24 * 3_600_000
# The tables that are kept; earlier ones are deleted before their time.
MOST_TABLES = 500


def is_one(reference: dict[str, str]) -> bool:
    """Whether a table is one of these."""
    return reference["datasetId"].startswith("_")


def keep(catalog: Catalog, translation: Translation, stored: str, fields: tuple[Field, ...]) -> dict[str, str]:
    """Make a stored table the result of a query, in a hidden dataset. Returns its reference."""
    project, location = translation.project, translation.location
    dataset = "_" + hashlib.md5(f"{project}/{location}".encode(), usedforsecurity=False).hexdigest()
    with suppress(BigQueryError):
        catalog.create_dataset(project, dataset, {"location": location})
    older = sorted(catalog.tables(project, dataset), key=lambda table: table.created_ms)
    for table in older[: len(older) + 1 - MOST_TABLES]:
        catalog.delete_table(table)

    def build(cursor: duckdb.DuckDBPyConnection, target: str) -> None:
        cursor.execute(f"ALTER TABLE {stored} RENAME TO {target.partition('.')[2]}")

    name = f"anon{secrets.token_hex(20)}"
    properties = {
        "schema": {"fields": [field.to_json() for field in fields]},
        "expirationTime": str(catalog.settings.now_ms() + LIFETIME_MS),
    }
    catalog.create_table(project, dataset, name, properties, build)
    return {"projectId": project, "datasetId": dataset, "tableId": name}
