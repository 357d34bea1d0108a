"""From the definition of a table, as `tables.get` returned it, to the requests that give a new table all of it.

Whatever would delete rows or refuse the load is set later: expirations, default values, keys, the partition filter.
Fields that this release does not know are kept, unless their name shows that BigQuery computes them.
Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#resource-table
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.definitions import NOTHING
from bqdump.core.restore.columns import Field
from bqdump.core.restore.names import LABEL
from bqdump.core.tables.catalog import Dataset
from bqdump.core.times import rfc3339

Body = dict[str, Any]
# What BigQuery computes, and the name, which the request has in its address.
OUTPUT_ONLY = (
    *("kind", "etag", "id", "selfLink", "type", "location", "tableReference", "creationTime", "lastModifiedTime"),
    *("streamingBuffer", "replicas", "snapshotDefinition", "cloneDefinition", "materializedViewStatus"),
    *("tableReplicationInfo", "restrictions"),
)
COUNTS = re.compile(r"num[A-Z]")
# Set once the rows are there.
LATER = ("schema", "labels", "tableConstraints", "expirationTime", "requirePartitionFilter")
# Set anew after a table was replaced by a copy, as the old one may have had others.
OF_A_REPLACED = ("friendlyName", "description", "maxStaleness", "defaultCollation", "defaultRoundingMode")
# Of these, what the export does not have is removed.
TEXTS = ("friendlyName", "description")
NO_OTHERS: Mapping[str, str] = {}
# A table that expires this soon may do so before it is restored, in milliseconds.
TOO_SOON = 24 * 60 * 60 * 1000


class Requests(NamedTuple):
    """The requests that rebuild a table, see TableStep. notes: how the table differs from the source."""

    create: msgspec.Raw
    lasting: msgspec.Raw
    finish: msgspec.Raw
    relate: msgspec.Raw
    expire: msgspec.Raw
    notes: tuple[str, ...]


class Rebuild(NamedTuple):
    """Where a table is rebuilt.

    source: the dataset that it was exported from; foreign keys within it refer to the target.
    now: in milliseconds since 1970 UTC.
    expires: the target dataset has default expirations.
    replaced: the labels of the table that is replaced, else None.
    names: in the target, of the tables that are restored.
    """

    source: Dataset
    target: Dataset
    now: int
    expires: bool = False
    replaced: Mapping[str, str] | None = None
    names: Mapping[str, str] = NO_OTHERS


def settable(resource: Mapping[str, Any]) -> Body:
    """A table's resource without what BigQuery computes."""
    return {key: value for key, value in resource.items() if key not in OUTPUT_ONLY and not COUNTS.match(key)}


def requests(definition: msgspec.Raw, fields: Sequence[Field], rebuild: Rebuild) -> Requests:
    """The requests that rebuild a table with these columns."""
    notes: list[str] = []
    resource = settable(msgspec.json.decode(definition))
    if resource.pop("biglakeConfiguration", None):
        # Its storage URI is that of the source, whose files another table must not share.
        notes.append("an Iceberg table, restored as a standard table")
        resource.pop("managedTableType", None)
    body = _with_columns(resource, {field["name"].lower() for field in fields}, notes)
    partitioning, filtered, expiration = _partitioning(body)
    create = {key: value for key, value in body.items() if key not in LATER}
    create["schema"] = _schema(body, list(map(without_default, fields)))
    if labels := body.get("labels"):
        create["labels"] = labels
    constraints = _constraints(body, rebuild)
    if "primaryKey" in constraints and "foreignKeys" in constraints:
        # Others may refer to it before its own foreign keys are set. It is not set again afterwards, which would remove
        # these where a slow task finishes a table that another task has finished already.
        create["tableConstraints"] = {"primaryKey": constraints["primaryKey"]}
    expire: Body = {}
    if expires_at := int(body.get("expirationTime") or 0):
        if expires_at > rebuild.now + TOO_SOON:
            expire["expirationTime"] = str(expires_at)
        else:
            notes.append(f"without its expiration at {rfc3339(expires_at)}, which would delete it")
    if expiration:
        expire["timePartitioning"] = {**partitioning, "expirationMs": str(expiration)}
    return Requests(
        create=_raw(create),
        # A table that is replaced keeps its own expirations, too.
        lasting=_raw(_lasting(partitioning) if rebuild.expires or rebuild.replaced is not None else {}),
        finish=_raw(_finish(body, fields, constraints, filtered=filtered, replaced=rebuild.replaced)),
        relate=_raw({"tableConstraints": constraints} if "foreignKeys" in constraints else {}),
        expire=_raw(expire),
        notes=tuple(notes),
    )


def expirations_of(definition: msgspec.Raw) -> msgspec.Raw:
    """What sets the expirations that a table has, for tables.patch; JSON null without any."""
    body: Body = msgspec.json.decode(definition) or {}
    partitioning = body.get("timePartitioning") or {}
    kept: Body = {"expirationTime": body["expirationTime"]} if body.get("expirationTime") else {}
    if partitioning.get("expirationMs"):
        kept["timePartitioning"] = partitioning
    return _raw(kept)


def missing_expirations(kept: msgspec.Raw, definition: msgspec.Raw) -> msgspec.Raw:
    """Those of these expirations that a table lacks now, for tables.patch; JSON null where it lacks none.

    kept: see expirations_of.
    definition: the table's definition.
    """
    body, now = msgspec.json.decode(kept) or {}, msgspec.json.decode(expirations_of(definition)) or {}
    return _raw({name: value for name, value in body.items() if name not in now})


def without_default(field: Field) -> Field:
    """A column without its default value."""
    return {key: value for key, value in field.items() if key != "defaultValueExpression"}


def _raw(body: Body) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(body)) if body else NOTHING


def _schema(body: Body, fields: Sequence[Field]) -> Body:
    # Other properties of the schema, such as foreignTypeInfo.
    return {**(body.get("schema") or {}), "fields": list(fields)}


def _partitioning(body: Body) -> tuple[Body, bool, int]:
    """Take out what is set later; returns the time partitioning, whether queries need a filter, and the expiration."""
    filtered = bool(body.get("requirePartitionFilter"))
    expiration = 0
    for kind in ("timePartitioning", "rangePartitioning"):
        if body.get(kind):
            partitioning = dict(body[kind])
            # The setting was here before it was one for both kinds.
            filtered = bool(partitioning.pop("requirePartitionFilter", False)) or filtered
            expiration = int(partitioning.pop("expirationMs", None) or 0) or expiration
            body[kind] = partitioning
    return body.get("timePartitioning") or {}, filtered, expiration


def _lasting(partitioning: Body) -> Body:
    lasting: Body = {"expirationTime": None}
    if partitioning:
        lasting["timePartitioning"] = {**partitioning, "expirationMs": None}
    return lasting


def _finish(
    body: Body, fields: Sequence[Field], constraints: Body, *, filtered: bool, replaced: Mapping[str, str] | None
) -> Body:
    old = dict.fromkeys(replaced or ())
    finish: Body = {"labels": {**old, **(body.get("labels") or {}), LABEL: None}}
    if replaced is not None:
        finish |= dict.fromkeys(TEXTS) | {key: body[key] for key in OF_A_REPLACED if key in body}
    if replaced is not None or any("defaultValueExpression" in field for field in fields):
        finish["schema"] = _schema(body, fields)
    if "primaryKey" in constraints and "foreignKeys" not in constraints:
        finish["tableConstraints"] = {"primaryKey": constraints["primaryKey"]}
    partitioned = "timePartitioning" in body or "rangePartitioning" in body
    if filtered or (replaced is not None and partitioned):
        finish["requirePartitionFilter"] = filtered
    return finish


def _constraints(body: Body, rebuild: Rebuild) -> Body:
    """The keys of a table; foreign keys within the source dataset refer to the target."""
    constraints = dict(body.get("tableConstraints") or {})
    if keys := constraints.get("foreignKeys"):
        constraints["foreignKeys"] = [_refer(key, rebuild) for key in keys]
    return {key: value for key, value in constraints.items() if value}


def _refer(key: Body, rebuild: Rebuild) -> Body:
    table, source = key.get("referencedTable") or {}, rebuild.source
    if (table.get("projectId", source.project), table.get("datasetId")) != (source.project, source.name):
        return key
    moved = {"projectId": rebuild.target.project, "datasetId": rebuild.target.name}
    if name := rebuild.names.get(table.get("tableId", "")):
        moved["tableId"] = name
    return {**key, "referencedTable": {**table, **moved}}


def _with_columns(body: Body, columns: Collection[str], notes: list[str]) -> Body:
    """The definition without what refers to columns that are not restored."""

    def known(names: Sequence[str]) -> bool:
        return all(name.lower() in columns for name in names)

    result = dict(body)
    for kind in ("timePartitioning", "rangePartitioning"):
        field = (result.get(kind) or {}).get("field")
        if field and not known([field]):
            del result[kind]
            result.pop("requirePartitionFilter", None)
            notes.append(f"not partitioned, as it has no column {field}")
    if clustering := result.get("clustering"):
        fields = [name for name in clustering.get("fields", ()) if known([name])]
        if len(fields) < len(clustering.get("fields", ())):
            notes.append(f"clustered by {', '.join(fields)} only" if fields else "not clustered")
        result["clustering"] = {**clustering, "fields": fields}
        if not fields:
            del result["clustering"]
    if constraints := result.get("tableConstraints"):
        result["tableConstraints"] = _keys_of(constraints, known, notes)
    return result


def _keys_of(constraints: Body, known: Callable[[Sequence[str]], bool], notes: list[str]) -> Body:
    kept = dict(constraints)
    if not known((constraints.get("primaryKey") or {}).get("columns", ())):
        del kept["primaryKey"]
        notes.append("without its primary key")
    keys = constraints.get("foreignKeys") or ()
    kept["foreignKeys"] = [
        key for key in keys if known([reference["referencingColumn"] for reference in key["columnReferences"]])
    ]
    if len(kept["foreignKeys"]) < len(keys):
        notes.append("without some of its foreign keys")
    return kept
