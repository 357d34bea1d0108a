"""Search and vector indexes: their statements are stored with the table, and shown by INFORMATION_SCHEMA."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bqdump_local.bigquery.errors import BigQueryError, duplicate, not_found
from bqdump_local.bigquery.sql.translation import Translation

if TYPE_CHECKING:
    from bqdump_local.bigquery.tables.tables import Table

CREATE = re.compile(
    r"\s*CREATE\s+(?P<replace>OR\s+REPLACE\s+)?(?P<kind>SEARCH|VECTOR)\s+INDEX\s+(?P<exists>IF\s+NOT\s+EXISTS\s+)?"
    r"(?P<name>`?\w+`?)\s+ON\s+(?P<table>[^\s(]+)\s*(?P<rest>\(.*?)\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
DROP = re.compile(
    r"\s*DROP\s+(?P<kind>SEARCH|VECTOR)\s+INDEX\s+(?P<exists>IF\s+EXISTS\s+)?(?P<name>`?\w+`?)\s+ON\s+"
    r"(?P<table>[^\s;]+)\s*;?\s*",
    re.IGNORECASE,
)


def run(text: str, translation: Translation) -> str | None:
    """Run a statement about an index. Returns its type; None for another statement."""
    created, dropped = CREATE.fullmatch(text), DROP.fullmatch(text)
    match = created or dropped
    if match is None:
        return None
    table, name, kind = translation.find_named(match["table"]), match["name"].strip("`"), match["kind"].upper()
    if created:
        _create(created, table, name, kind)
    elif table.indexes.get(name, {}).get("kind") == kind:
        del table.indexes[name]
    elif not match["exists"]:
        raise not_found("Index", f"{table.name}.{name}")
    translation.catalog.keep_table(table)
    return f"{'CREATE' if created else 'DROP'}_{kind}_INDEX"


def _create(statement: re.Match[str], table: Table, name: str, kind: str) -> None:
    if name in table.indexes and statement["exists"]:
        return
    if name in table.indexes and not statement["replace"]:
        raise duplicate("Index", f"{table.name}.{name}")
    if any(index["kind"] == kind for other, index in table.indexes.items() if other != name):
        raise BigQueryError("invalid", f"Table {table.name} has a {kind.lower()} index already")
    target = f"`{table.project}.{table.dataset}.{table.table_id}`"
    table.indexes[name] = {"kind": kind, "ddl": f"CREATE {kind} INDEX `{name}` ON {target}{statement['rest']}"}
