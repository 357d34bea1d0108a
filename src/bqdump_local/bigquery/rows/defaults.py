"""Default values of columns.

Source: https://cloud.google.com/bigquery/docs/default-values
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bqdump_local.bigquery.sql.parsing import parse
from bqdump_local.bigquery.sql.translation import Translation
from bqdump_local.bigquery.types import Field, duckdb_type, quote

if TYPE_CHECKING:
    import duckdb

    from bqdump_local.bigquery.tables.catalog import Catalog
    from bqdump_local.bigquery.tables.tables import Table


def expression(field: Field, translation: Translation) -> str | None:
    """The default of a column in DuckDB's SQL; None without one."""
    text = dict(field.recorded).get("defaultValueExpression")
    if text is None:
        return None
    value = parse(f"SELECT {text}")[0].expressions[0]
    return f"({translation.expression(value)})::{duckdb_type(field)}"


def expressions(catalog: Catalog, table: Table) -> dict[str, str]:
    """The defaults of a table's columns, by name."""
    translation = Translation(
        catalog, table.project, (table.project, table.dataset), table.location, catalog.settings.now_ms()
    )
    defaults = {field.name: expression(field, translation) for field in table.fields}
    return {name: value for name, value in defaults.items() if value is not None}


def values(catalog: Catalog, table: Table) -> dict[str, Any]:
    """The defaults of a table's columns, as a streamed row would have them."""
    known = expressions(catalog, table)
    if not known:
        return {}
    kinds = {field.name: field.type for field in table.fields}
    texts = [f"base64({value})" if kinds[name] == "BYTES" else f"({value})::VARCHAR" for name, value in known.items()]
    with catalog.warehouse.cursor() as cursor:
        row = cursor.execute(f"SELECT {', '.join(texts)}").fetchall()[0]
    return dict(zip(known, row, strict=True))


def apply(cursor: duckdb.DuckDBPyConnection, name: str, fields: Sequence[Field], translation: Translation) -> None:
    """Give a stored table the defaults of its columns, for statements that leave columns out."""
    for field in fields:
        if (value := expression(field, translation)) is not None:
            cursor.execute(f"ALTER TABLE {name} ALTER COLUMN {quote(field.name)} SET DEFAULT {value}")
