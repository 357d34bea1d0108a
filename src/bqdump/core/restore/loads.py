"""How the files of a table load: options of the load job, and casts for types that their format cannot load.

core/formats/fidelity.py has the facts for each type. A type that load jobs cannot read is loaded as a STRING into a
scratch table, also as a member of a STRUCT or an element of an ARRAY, and a query casts it. So is a table with a value
that a load job takes for NULL where the table has no NULL: '' in CSV, null in JSON.
Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobconfigurationload

The files of a table, in load jobs that respect the limits of a job.

Source: https://cloud.google.com/bigquery/quotas#load_jobs,
https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-csv#limitations
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bqdump.core.documents.manifest import File, TableEntry
from bqdump.core.documents.units import files_by_partition
from bqdump.core.formats.fidelity import cell
from bqdump.core.formats.formats import FORMATS
from bqdump.core.formats.types import Column
from bqdump.core.restore.columns import Field, RestoredColumns, as_string, cast, free_name, from_json
from bqdump.core.restore.plan import Load
from bqdump.core.restore.table_requests import without_default
from bqdump.core.sizes import named, size_text
from bqdump.core.sql.statements import identifier, literal
from bqdump.core.tables.partitioning import PSEUDO_COLUMN, partition_times

MOST_FILES = 10_000
MOST_BYTES = 15 * 10**12
# Of their names: the request for a job is limited to 10 MB.
MOST_NAME_BYTES = 8 * 10**6
BUCKET_NAME_BYTES = 240
# Of a file that BigQuery reads from its beginning to its end.
MOST_SEQUENTIAL_BYTES = 4 * 10**9


def grouped(files: Sequence[File]) -> tuple[tuple[File, ...], ...]:
    """The files of each load job, in their order. Files without rows are left out."""
    groups: list[list[File]] = []
    bytes_, names = 0, 0
    for file in files:
        if file.size == 0 or file.rows == 0:
            continue
        length = len(file.name.encode()) + BUCKET_NAME_BYTES
        full = groups and (
            len(groups[-1]) == MOST_FILES or bytes_ + file.size > MOST_BYTES or names + length > MOST_NAME_BYTES
        )
        if full or not groups:
            groups.append([])
            bytes_, names = 0, 0
        groups[-1].append(file)
        bytes_, names = bytes_ + file.size, names + length
    return tuple(map(tuple, groups))


def too_large(files: Sequence[File], format_: str, codec: str, *, quoted_lines: bool) -> str:
    """Why no load job takes these files, naming the first that is too large; "" where it takes all of them.

    quoted_lines: the job allows line breaks within quoted values of a CSV file.
    """
    gzip = format_ in ("csv", "json") and codec == "gzip"
    if not gzip and not (format_ == "csv" and quoted_lines):
        return ""
    large = [file for file in files if file.size > MOST_SEQUENTIAL_BYTES]
    if not large:
        return ""
    what = "compressed files" if gzip else "CSV files with line breaks in quoted values"
    more = f" ({len(large):,} files are larger)" if len(large) > 1 else ""
    limit = size_text(MOST_SEQUENTIAL_BYTES)
    return f"load jobs take {what} up to {limit}, and {large[0].name} has {size_text(large[0].size)}{more}"


SHOWN = 5


def loading(
    entry: TableEntry, restored: RestoredColumns, settings: Mapping[str, Any], snapshot: int, by_query: str = ""
) -> Load:
    """How a table's files load. settings, snapshot (ms): those with which they were written, see settings_of.

    by_query: why a query has to fill the table although its files load.
    """
    format_ = entry.format or str(settings["format"])
    forms = _Forms(format_, entry.route, restored, str(settings.get("null_marker") or ""))
    pairs = [(without_default(field), column) for field, column in zip(restored.fields, restored.columns, strict=True)]
    fields = [forms.field(field, column) for field, column in pairs]
    staged = [forms.staged(field, column) for field, column in pairs]
    names = [column.name for column in restored.columns]
    values = [forms.value(column) for column in restored.columns]
    why = "; ".join(
        filter(None, (_reason([path for column in restored.columns for path in forms.paths(column)]), by_query))
    )
    if restored.partition_times:
        staged.append({"name": restored.partition_times, "type": "TIMESTAMP"})
        names.append(PSEUDO_COLUMN)
        values.append(_arrival(entry, restored.partition_times, snapshot))
        why = "; ".join(filter(None, (why, "a column of the files has the partition times")))
    scratch = _scratch(entry.definition, staged)
    groups, partitions = grouped(entry.files), tuple[str, ...]()
    if restored.by_arrival:
        pairs_ = [(partition.id, group) for partition, files in files_by_partition(entry) for group in grouped(files)]
        groups, partitions = tuple(group for _, group in pairs_), tuple(id_ for id_, _ in pairs_)
        scratch["timePartitioning"] = {"type": _unit(entry)}
        names.append(PSEUDO_COLUMN)
        values.append(identifier(PSEUDO_COLUMN))
    like_null = [path for column in restored.columns for path in forms.like_null(column)]
    return Load(
        options=_raw(_options(format_, entry.route, restored, settings)),
        # Files may have values that the table refuses as NULL; a query then says so better than a load job.
        schema=_raw(scratch["schema"] if why else {"fields": fields}),
        groups=groups,
        partitions=partitions,
        scratch=_raw(scratch),
        columns=tuple(names),
        values=tuple(values),
        casts=why,
        like_null="" if why else named(like_null, SHOWN, "column"),
    )


def unloadable(entry: TableEntry, restored: RestoredColumns, settings: Mapping[str, Any]) -> str:
    """Why no load job takes a table's files, naming one of them; "" where it takes all."""
    format_ = entry.format or str(settings["format"])
    options = _options(format_, entry.route, restored, settings)
    codec = entry.compression or str(settings["compression"])
    return too_large(entry.files, format_, codec, quoted_lines="allowQuotedNewlines" in options)


class _Forms:
    """The form of a table's columns in its files, and the way back."""

    def __init__(self, format_: str, route: str, restored: RestoredColumns, null_marker: str) -> None:
        self.format, self.route, self.texts = format_, route, restored.texts
        self.null_marker = null_marker if route == "read" else ""
        self.item = free_name("item", restored.columns)

    def cast(self, column: Column) -> str:
        """The cast for a column whose type does not load, else ""."""
        return cell(self.format, self.route, column.type).back.cast

    def null(self, column: Column) -> str:
        """GoogleSQL of the value of a column without NULL that a load job may take for NULL; "" where there is none."""
        null = cell(self.format, self.route, column.type).null if column.required or column.repeated else ""
        if not null or not self.null_marker:
            return null
        if column.type == "STRING":
            return literal(self.null_marker)
        return f"FROM_BASE64({literal(self.null_marker)})" if _is_base64(self.null_marker) else ""

    def like_null(self, column: Column, path: str = "") -> Iterator[str]:
        """The columns and members that have such a value, such as "name STRING"."""
        path = path or column.name
        if column.name in self.texts and path == column.name:
            return
        if self.null(column):
            yield f"{path} {column.text}"
        for member in column.fields:
            yield from self.like_null(member, f"{path}.{member.name}")

    def field(self, field: Field, column: Column) -> Field:
        """A column as a load job reads it from the files."""
        if column.name in self.texts:
            return as_string(field)
        return self._loadable(field, column)

    def staged(self, field: Field, column: Column) -> Field:
        """A column of the scratch table. An array may have elements there that load jobs take for NULL."""
        if column.name in self.texts:
            return as_string(field)
        if column.repeated and self.null(column):
            return {**field, "mode": "NULLABLE"}
        if column.fields:
            members = zip(field["fields"], column.fields, strict=True)
            return {**field, "fields": [self.staged(member, of) for member, of in members]}
        return self._loadable(field, column)

    def _loadable(self, field: Field, column: Column) -> Field:
        if self.cast(column):
            return {**as_string(field), "mode": field.get("mode", "NULLABLE")}
        if not column.fields:
            return field
        members = zip(field["fields"], column.fields, strict=True)
        return {**field, "fields": [self._loadable(member, of) for member, of in members]}

    def paths(self, column: Column) -> Iterator[str]:
        """What is cast, such as "at DATETIME"."""
        if column.name in self.texts:
            yield f"{column.name} {column.text}"
        else:
            yield from self._cast_paths(column, column.name)

    def _cast_paths(self, column: Column, path: str) -> Iterator[str]:
        if self.cast(column):
            yield f"{path} {column.text}"
        for member in column.fields:
            yield from self._cast_paths(member, f"{path}.{member.name}")

    def value(self, column: Column) -> str:
        """The expression for a column of the table from what was loaded."""
        name = identifier(column.name)
        return (
            from_json(column, name, self.item)
            if column.name in self.texts
            else cast(column, name, self._made, self.item)
        )

    def _made(self, column: Column) -> str:
        null = self.null(column)
        return self.cast(column) or (f"IFNULL({{value}}, {null})" if null else "")


def _arrival(entry: TableEntry, column: str, snapshot: int) -> str:
    """The partition time of a row; rows that were in the streaming buffer go to the partition of the snapshot time."""
    unit = _unit(entry)
    return f"IFNULL({identifier(column)}, TIMESTAMP_TRUNC(TIMESTAMP_MILLIS({snapshot}), {unit}))"


def _unit(entry: TableEntry) -> str:
    """The unit of time by which a table is partitioned."""
    return str(msgspec.json.decode(entry.definition)["timePartitioning"].get("type") or "DAY")


def _scratch(definition: msgspec.Raw, fields: Sequence[Field]) -> dict[str, Any]:
    """The definition of a table for rows as the files have them: every column may be NULL.

    It is clustered by the column that the table is partitioned by, so a statement for a range of partitions reads, and
    bills, only rows of that range.
    """
    resource = msgspec.json.decode(definition)
    scratch: dict[str, Any] = {"schema": {"fields": list(map(_nullable, fields))}}
    if encryption := resource.get("encryptionConfiguration"):
        scratch["encryptionConfiguration"] = encryption
    by = (resource.get("timePartitioning") or resource.get("rangePartitioning") or {}).get("field", "")
    if clustered := [field["name"] for field in fields if field["name"].lower() == by.lower()]:
        scratch["clustering"] = {"fields": clustered}
    return scratch


def _nullable(field: Field) -> Field:
    nullable = {**field}
    if field.get("mode") == "REQUIRED":
        nullable["mode"] = "NULLABLE"
    if field.get("fields"):
        nullable["fields"] = list(map(_nullable, field["fields"]))
    return nullable


def _options(format_: str, route: str, restored: RestoredColumns, settings: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"sourceFormat": FORMATS[format_].api}
    if format_ == "csv":
        options |= {
            "encoding": "UTF-8",
            "skipLeadingRows": 1 if settings.get("header", True) else 0,
            "fieldDelimiter": settings.get("delimiter", ","),
        }
        if route == "read" and settings.get("null_marker"):
            options["nullMarker"] = settings["null_marker"]
    for type_ in _types(restored):
        options |= cell(format_, route, type_).back.options
    return options


def _types(restored: RestoredColumns) -> list[str]:
    """The types of the values in the files, nested ones included."""

    def of(column: Column) -> Iterator[str]:
        if column.repeated:
            yield "ARRAY"
        yield column.type
        for member in column.fields:
            yield from of(member)

    files = [Column(column.name, "STRING") if column.name in restored.texts else column for column in restored.columns]
    if restored.partition_times:
        files.append(partition_times(restored.partition_times))
    return sorted({type_ for column in files for type_ in of(column)})


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _reason(paths: Sequence[str]) -> str:
    return f"load jobs cannot read {named(paths, SHOWN, 'column')} from these files" if paths else ""


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
