"""What a request sets of a dataset or a table, and when it is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.types import Field

if TYPE_CHECKING:
    from bqdump_local.bigquery.tables.tables import Table

Find = Callable[[str, str, str], "Table"]
# Maps whose keys a patch merges; null removes a key.
# https://cloud.google.com/bigquery/docs/updating-labels#delete_labels
MERGED = ("labels", "resourceTags")
# What a request can set of a dataset; all else is the server's.
OF_A_DATASET = (
    *("access", "defaultCollation", "defaultEncryptionConfiguration", "defaultPartitionExpirationMs"),
    *("defaultRoundingMode", "defaultTableExpirationMs", "description", "externalDatasetReference", "friendlyName"),
    *("isCaseInsensitive", "labels", "linkedDatasetSource", "location", "maxTimeTravelHours", "resourceTags"),
    *("storageBillingModel", "externalCatalogDatasetOptions"),
)
ENTITIES = (*("userByEmail", "groupByEmail", "domain", "specialGroup", "iamMember", "view", "routine", "dataset"),)
# The version of the schema that has conditions.
CONDITIONS = "3"
# https://cloud.google.com/bigquery/docs/partitioned-tables
UNITS = ("HOUR", "DAY", "MONTH", "YEAR")
TIMES = ("DATE", "DATETIME", "TIMESTAMP")
# https://cloud.google.com/bigquery/docs/clustered-tables#limitations
MOST_CLUSTERED = 4
# Of a table, with the members of its structs. https://cloud.google.com/bigquery/quotas#standard_tables
MOST_COLUMNS = 10_000
# https://cloud.google.com/bigquery/quotas#standard_tables
SHORTEST_LIFETIME_MS = 3_600_000
MODES = ("NULLABLE", "REQUIRED", "REPEATED")
# The most digits before the point, and after it.
DIGITS = {"NUMERIC": (29, 9), "BIGNUMERIC": (38, 38)}


def settable_of_dataset(body: dict[str, Any]) -> dict[str, Any]:
    """The properties of a dataset in a body."""
    lifetime = body.get("defaultTableExpirationMs")
    if lifetime is not None and int(lifetime) < SHORTEST_LIFETIME_MS:
        raise invalid("Invalid value for defaultTableExpirationMs: the minimum is 3600000 milliseconds")
    return {key: value for key, value in body.items() if key in OF_A_DATASET}


def check_access(entries: list[dict[str, Any]], version: str) -> None:
    """Refuse access entries that name no one, or a condition in an older version of the schema.

    There are no accounts here: those of nobody.example.com do not exist.
    https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets#Dataset
    """
    for entry in entries:
        who = [name for name in ENTITIES if entry.get(name)]
        if len(who) != 1:
            raise invalid("Invalid access entry: exactly one entity is required")
        if who[0] not in ("view", "routine", "dataset") and not entry.get("role"):
            raise invalid("Required parameter is missing: access.role")
        if entry.get("condition") and version != CONDITIONS:
            raise invalid("Conditional access entries require access policy version 3")
        if str(entry[who[0]]).endswith("@nobody.example.com"):
            raise invalid(f"IAM setPolicy failed for Dataset: User {entry[who[0]]} does not exist.")


def patched(properties: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """The properties after a patch: what the body has is replaced, and null removes it."""
    changed = {**properties, **body}
    for key in MERGED:
        if body.get(key) is not None:
            changed[key] = {**(properties.get(key) or {}), **body[key]}
            changed[key] = {name: value for name, value in changed[key].items() if value is not None}
    return {key: value for key, value in changed.items() if value not in (None, {})}


def with_defaults(properties: dict[str, Any], dataset: dict[str, Any], now_ms: int) -> dict[str, Any]:
    """A table's properties with the expirations that its dataset sets for new tables.

    A partitioned table gets only that of its partitions, if there is one.
    https://cloud.google.com/bigquery/docs/updating-datasets#table-expiration
    """
    defaulted = dict(properties)
    time, lifetime = defaulted.get("timePartitioning"), dataset.get("defaultPartitionExpirationMs")
    if time and lifetime:
        defaulted["timePartitioning"] = {"expirationMs": str(lifetime), **time}
    elif (lifetime := dataset.get("defaultTableExpirationMs")) and "expirationTime" not in defaulted:
        defaulted["expirationTime"] = str(now_ms + int(lifetime))
    return defaulted


def check_expiration(properties: dict[str, Any], now_ms: int) -> None:
    """Refuse an expiration time that is not in the future."""
    expires = properties.get("expirationTime")
    if expires is not None and int(expires) <= now_ms:
        raise invalid(f"Invalid value for expirationTime: the expiration time {expires} is in the past")


def check_definition(table: Table, properties: dict[str, Any], fields: Sequence[Field], find: Find) -> None:
    """Refuse partitioning, clustering and constraints that do not fit the columns. find: the table of a name."""
    columns = {field.name.lower(): field for field in fields}
    _check_fields(fields)
    if (count := sum(field.leaves for field in fields)) > MOST_COLUMNS:
        raise invalid(f"Too many columns: {count}. Limit is {MOST_COLUMNS}")
    time, ranges = properties.get("timePartitioning"), properties.get("rangePartitioning")
    if time and ranges:
        raise invalid("Only one of timePartitioning and rangePartitioning should be specified")
    if time:
        if not time.get("type"):
            raise invalid("Required parameter is missing: timePartitioning.type")
        if time["type"] not in UNITS:
            raise invalid(f"Invalid value for timePartitioning.type: {time['type']} is not a valid value")
        if time.get("field"):
            _check_partitioned(columns, time["field"], TIMES)
    if ranges:
        _check_partitioned(columns, ranges.get("field") or "", ("INTEGER",))
    clustered = (properties.get("clustering") or {}).get("fields") or ()
    if len(clustered) > MOST_CLUSTERED:
        raise invalid(f"Too many clustering columns: {len(clustered)}. Limit is {MOST_CLUSTERED}")
    for name in clustered:
        if name.lower() not in columns:
            raise invalid(f"The field specified for clustering cannot be found in the schema: {name}.")
    if constraints := properties.get("tableConstraints"):
        _check_constraints(table, constraints, columns, find)


def _check_fields(fields: Sequence[Field]) -> None:
    """https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TableFieldSchema."""
    for field in fields:
        if field.mode not in MODES:
            raise invalid(f"Invalid value for mode of field {field.name}: {field.mode} is not a valid value")
        if field.type not in ("STRING", "BYTES") and dict(field.recorded).get("maxLength"):
            raise invalid(f"maxLength of field {field.name} is only for STRING and BYTES, not for {field.type}")
        scale, precision = field.scale or 0, field.precision or 0
        whole, most = DIGITS.get(field.type, (0, 0))
        if (scale or precision) and not (0 <= scale <= most and max(1, scale) <= precision <= scale + whole):
            raise invalid(f"Invalid precision or scale of field {field.name}: {field.type}({precision}, {scale})")
        _check_fields(field.fields)


def _check_partitioned(columns: dict[str, Field], name: str, types: Sequence[str]) -> None:
    field = columns.get(name.lower())
    if field is None:
        raise invalid(f"The field specified for partitioning cannot be found in the schema: {name}.")
    if field.type not in types or field.mode == "REPEATED":
        raise invalid(f"The type of the partitioning column {name} must be one of {', '.join(types)}: {field.type}.")


def _check_constraints(table: Table, constraints: dict[str, Any], columns: dict[str, Field], find: Find) -> None:
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language#table_constraints."""
    primary = (constraints.get("primaryKey") or {}).get("columns") or ()
    _require_columns(columns, primary, "primary key")
    for key in constraints.get("foreignKeys") or ():
        pairs = key.get("columnReferences") or ()
        _require_columns(columns, [pair["referencingColumn"] for pair in pairs], "foreign key")
        reference = key["referencedTable"]
        place = (reference.get("projectId") or table.project, reference["datasetId"], reference["tableId"])
        if place[:2] != (table.project, table.dataset):
            raise invalid(f"Foreign key of table {table.name} references a table in another dataset")
        if place[2] == table.table_id:
            referenced = primary
        else:
            other = find(*place)
            referenced = (other.properties.get("tableConstraints") or {}).get("primaryKey", {}).get("columns", ())
        referencing = [pair["referencedColumn"].lower() for pair in pairs]
        if sorted(referencing) != sorted(name.lower() for name in referenced):
            raise invalid(f"Foreign key of table {table.name} must reference the primary key of table {place[2]}")


def _require_columns(columns: dict[str, Field], names: Sequence[str], what: str) -> None:
    for name in names:
        if name.lower() not in columns:
            raise invalid(f"Column {name} of the {what} does not exist")


def check_schema(
    name: str, old: Sequence[Field], new: Sequence[Field], *, adding: bool, relaxing: bool, fewer: bool = False
) -> None:
    """Refuse a schema that does not match that of the table `name`.

    adding: columns may be added.
    relaxing: a REQUIRED column may become NULLABLE.
    fewer: columns that are not REQUIRED may be missing, as in a job that appends rows.
    """
    mismatch = f"Provided Schema does not match Table {name}."
    known, wanted = ({field.name.lower(): field for field in fields} for fields in (old, new))
    if missing := [
        field.name for key, field in known.items() if key not in wanted and not (fewer and field.mode != "REQUIRED")
    ]:
        raise invalid(f"{mismatch} Field {missing[0]} is missing in new schema")
    for key, field in wanted.items():
        have = known.get(key)
        if have is None:
            if not adding:
                raise invalid(f"{mismatch} Cannot add fields (field: {field.name})")
            if field.mode == "REQUIRED":
                raise invalid(f"{mismatch} Cannot add required fields to an existing schema. (field: {field.name})")
            continue
        if have.type != field.type:
            raise invalid(f"{mismatch} Field {field.name} has changed type from {have.type} to {field.type}")
        relaxed = relaxing and (have.mode, field.mode) == ("REQUIRED", "NULLABLE")
        if have.mode != field.mode and not relaxed:
            raise invalid(f"{mismatch} Field {field.name} has changed mode from {have.mode} to {field.mode}")
        if have.fields or field.fields:
            check_schema(name, have.fields, field.fields, adding=adding, relaxing=relaxing, fewer=fewer)


def labels_filter(text: str) -> Callable[[dict[str, str]], bool]:
    """What the `filter` of datasets.list requires of labels: `labels.name[:value]`, joined by spaces or AND."""
    wanted = []
    for word in text.split():
        kind, _, rest = word.partition(".")
        if word != "AND" and (kind != "labels" or not rest):
            raise invalid(f"Invalid filter: {text}")
        if word != "AND":
            name, _, value = rest.partition(":")
            wanted.append((name, value))
    return lambda labels: all(name in labels and value in ("", labels[name]) for name, value in wanted)
