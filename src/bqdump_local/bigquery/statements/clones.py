"""Table clones and table snapshots: statements, and what a copy job makes of them.

Source: https://cloud.google.com/bigquery/docs/table-snapshots-intro and …/table-clones-intro
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from bqdump_local.bigquery.errors import duplicate, invalid, invalid_query
from bqdump_local.bigquery.sql.parsing import parse
from bqdump_local.bigquery.statements import options
from bqdump_local.bigquery.tables import decorators
from bqdump_local.bigquery.tables.definitions import check_expiration
from bqdump_local.bigquery.tables.tables import SETTABLE, Table, Version

if TYPE_CHECKING:
    import duckdb

    from bqdump_local.bigquery.sql.translation import Translation
    from bqdump_local.bigquery.tables.catalog import Catalog

CREATE = re.compile(
    r"\s*CREATE\s+(?P<replace>OR\s+REPLACE\s+)?(?P<snapshot>SNAPSHOT\s+)?TABLE\s+(?P<exists>IF\s+NOT\s+EXISTS\s+)?"
    r"(?P<name>[^\s(]+)\s+(?P<way>CLONE|COPY)\s+(?P<source>[^\s;]+)"
    r"(?P<moment>\s+FOR\s+SYSTEM_TIME\s+AS\s+OF\s+.+?)?(?:\s+OPTIONS\s*(?P<options>\(.*\)))?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
DROP = re.compile(r"\s*DROP\s+SNAPSHOT\s+TABLE\s+(?P<exists>IF\s+EXISTS\s+)?(?P<name>[^\s;]+)\s*;?\s*", re.IGNORECASE)
OPERATIONS = ("COPY", "SNAPSHOT", "RESTORE", "CLONE")


def run(text: str, translation: Translation) -> str | None:
    """Run a statement that creates a clone, a copy or a snapshot, or drops a snapshot. Returns its type, or None."""
    if match := DROP.fullmatch(text):
        table = _find(match["name"], translation)
        if table is None and not match["exists"]:
            translation.find_named(match["name"])
        if table is not None:
            if table.kind != "SNAPSHOT":
                raise invalid_query(f"{table.name} is a {table.kind}, and DROP SNAPSHOT TABLE drops table snapshots")
            translation.catalog.delete_table(table)
        return "DROP_SNAPSHOT_TABLE"
    if (match := CREATE.fullmatch(text)) is None:
        return None
    _create(match, translation)
    return "CREATE_SNAPSHOT_TABLE" if match["snapshot"] else f"CREATE_TABLE_{'CLONE' if _clones(match) else 'COPY'}"


def _clones(statement: re.Match[str]) -> bool:
    return statement["way"].upper() == "CLONE"


def _create(wanted: re.Match[str], translation: Translation) -> None:
    existing = _find(wanted["name"], translation)
    if existing is not None and wanted["exists"]:
        return
    if existing is not None and not wanted["replace"]:
        raise duplicate("Table", existing.name)
    (select,) = parse(f"SELECT 1 FROM {wanted['source']}{wanted['moment'] or ''}")
    node = select.find(exp.Table)
    source = translation.find(node)
    moment = node.args.get("version")
    version = source.current
    if moment is not None:
        version = source.version_at(translation.milliseconds(moment), translation.now_ms)
    known = options.SNAPSHOT if wanted["snapshot"] else options.TABLE
    chosen = options.properties(_properties(wanted["options"]), known, translation)
    operation = "SNAPSHOT" if wanted["snapshot"] else wanted["way"].upper()
    place = _reference(wanted["name"], translation)
    make(translation.catalog, operation, source, version, place, chosen, replace=bool(wanted["replace"]))


def _properties(text: str | None) -> list[exp.Expression]:
    if not text:
        return []
    (statement,) = parse(f"CREATE TABLE x (a INT64) OPTIONS {text}")
    listed = statement.args.get("properties")
    return list(listed.expressions) if listed else []


def _reference(name: str, translation: Translation) -> tuple[str, str, str]:
    return translation.reference(parse(f"SELECT 1 FROM {name}")[0].find(exp.Table))


def _find(name: str, translation: Translation) -> Table | None:
    return translation.catalog.find_table(*_reference(name, translation))


def make(
    catalog: Catalog,
    operation: str,
    source: Table,
    version: Version,
    place: tuple[str, str, str],
    chosen: dict[str, Any] | None = None,
    *,
    replace: bool = False,
) -> Table:
    """Create a clone, a snapshot, or a copy of one version of a table. chosen: options, which replace the source's.

    replace: see `Catalog.create_table`.
    """
    source.require_rows()
    if operation == "SNAPSHOT" and source.kind == "SNAPSHOT":
        raise invalid(f"{source.name} is a SNAPSHOT, of which no snapshot can be created")
    kept = {key: source.properties[key] for key in SETTABLE if key in source.properties and key != "expirationTime"}
    kept["schema"] = {"fields": [field.to_json() for field in version.fields]}
    if operation == "SNAPSHOT":
        kept.pop("requirePartitionFilter", None)
        if time := kept.get("timePartitioning"):
            kept["timePartitioning"] = {key: value for key, value in time.items() if key != "expirationMs"}

    def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        cursor.execute(f"CREATE TABLE {name} AS FROM {version.name}")

    base = None
    if operation in ("SNAPSHOT", "CLONE"):
        reference = {"projectId": source.project, "datasetId": source.dataset, "tableId": source.table_id}
        at = catalog.settings.now_ms() if version is source.current else version.at_ms
        base = {"kind": operation, "table": reference, "at_ms": at}
    properties = options.merged(kept, chosen or {})
    return catalog.create_table(*place, properties, build, base=base, replace=replace)


def copy(catalog: Catalog, copied: dict[str, Any], sources: list[decorators.Source]) -> int | None:
    """Carry out a copy job that creates a snapshot or a clone. Returns its rows; None for another job."""
    operation = copied.get("operationType") or "COPY"
    if operation not in OPERATIONS:
        raise invalid(f"Invalid value for operationType: {operation} is not a valid value")
    first, target = sources[0], copied["destinationTable"]
    if operation == "RESTORE" and first.table.kind != "SNAPSHOT":
        raise invalid(f"{first.table.name} is a {first.table.kind}, and only a SNAPSHOT can be restored")
    if operation not in ("SNAPSHOT", "CLONE"):
        return None
    if len(sources) > 1 or first.condition is not None:
        raise invalid(f"Operation type {operation} must have exactly one source table, without a partition")
    place = (target["projectId"], target["datasetId"], target["tableId"])
    if (existing := catalog.find_table(*place)) is not None:
        raise duplicate("Table", existing.name)
    chosen = {}
    if expires := copied.get("destinationExpirationTime"):
        moment = datetime.fromisoformat(str(expires).replace("Z", "+00:00"))
        chosen["expirationTime"] = str(round(moment.astimezone(UTC).timestamp() * 1000))
        check_expiration(chosen, catalog.settings.now_ms())
    table = make(catalog, operation, first.table, first.version, place, chosen)
    with catalog.warehouse.cursor() as cursor:
        return table.current.measure(cursor)[0]
