"""A manifest for a Python program: its tables by name, with times as datetimes and the addresses of their files.

The definitions of an export for a Python program: resources of BigQuery's API as dictionaries.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import msgspec

from bqdump.core.documents.definitions import Definitions as Stored
from bqdump.core.documents.definitions import Index, ObjectDefinition, RoutineDefinition, RowPolicy, Unread
from bqdump.core.documents.document import ReadAt
from bqdump.core.documents.manifest import File, TableEntry, Totals
from bqdump.core.documents.manifest import Manifest as Document
from bqdump.core.documents.manifest_index import read_time_of, settings_of, snapshot_of
from bqdump.core.documents.run import Failure, Flag, Skipped
from bqdump.core.documents.unchanged import Removed
from bqdump.core.results import html_table, public
from bqdump.core.sizes import counted
from bqdump.core.times import time_in, time_of


@public
@dataclass(frozen=True, kw_only=True)
class Definition:
    """A view, external table or other object, or a routine, as tables.get or routines.get returned it.

    kind: as in tables.list (VIEW), or the routineType (SCALAR_FUNCTION).
    sql: of a view, materialized view or routine; "" for everything else.
    """

    name: str
    kind: str
    sql: str
    definition: dict[str, Any]


@public
@dataclass(frozen=True, kw_only=True)
class Definitions:
    """What rebuilds a dataset around its tables, whose own definitions are in `Table.definition`.

    dataset: its resource, without what BigQuery alone sets; empty if the export did not record it.
    objects: all that are not plain tables, whether or not their rows are exported.
    models: the names of models, which are not exported.
    unread: what the account could not read.
    """

    dataset: dict[str, Any]
    objects: tuple[Definition, ...]
    routines: tuple[Definition, ...]
    models: tuple[str, ...]
    policies: tuple[RowPolicy, ...]
    indexes: tuple[Index, ...]
    unread: tuple[Unread, ...]


def readable_definitions(document: Stored) -> Definitions:
    """The definitions in a manifest for Python programs."""
    return Definitions(
        dataset=msgspec.json.decode(document.dataset) or {},
        objects=tuple(map(_definition, document.objects)),
        routines=tuple(map(_definition, document.routines)),
        models=document.models,
        policies=document.policies,
        indexes=document.indexes,
        unread=document.unread,
    )


def _definition(object_: ObjectDefinition | RoutineDefinition) -> Definition:
    definition = msgspec.json.decode(object_.definition)
    query = definition.get("view") or definition.get("materializedView") or {}
    sql = str(query.get("query") or definition.get("definitionBody") or "")
    return Definition(name=object_.name, kind=object_.kind, sql=sql, definition=definition)


CLOSE = 3


@public
@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of an export.

    rows: exported rows, None where neither the files nor the job report them.
    expected_rows: the rows that BigQuery had at the snapshot time, where that is certain.
    planned_rows, planned_bytes: as BigQuery counted them while planning.
    bytes: size of the files.
    uris: addresses of the files, in the order of `files`: gs://bucket/… or, in a folder, absolute paths.
    read_at: "job" where the table was read when its job ran instead of at the snapshot time, for the reason in `why`.
    billed: bytes billed for its query.
    definition: as BigQuery's tables.get returned it.
    settings: those that it was exported with.
    carried_from: the earlier run that exported it, "" for this run.
    snapshot_time: the time that its rows are as of.
    read_time: when its files were read; earlier than that for a table that has not changed since.
    iceberg: the address of its Iceberg metadata, "" for none.
    """

    table: str
    kind: str
    route: str
    snapshot_time: datetime
    read_at: ReadAt
    why: str
    rows: int | None
    expected_rows: int | None
    planned_rows: int
    planned_bytes: int
    bytes: int
    format: str
    compression: str
    files: tuple[File, ...]
    uris: list[str]
    created: datetime
    started: datetime
    ended: datetime
    billed: int | None
    definition: dict[str, Any]
    settings: dict[str, Any]
    carried_from: str
    iceberg: str
    read_time: datetime

    def to_dict(self) -> dict[str, Any]:
        """The table as a dictionary, without its definition, settings and file checksums."""
        names = [field.name for field in fields(self) if field.name not in ("definition", "settings", "files")]
        return {name: getattr(self, name) for name in names} | {"files": len(self.files)}

    def _repr_html_(self) -> str:
        facts = self.to_dict()
        # A table may have thousands of files.
        del facts["uris"]
        return html_table([{"field": name, "value": value} for name, value in facts.items()])


@public
@dataclass(frozen=True, kw_only=True, repr=False)
class Manifest(Mapping[str, Table]):
    """The record of a published run: its tables by name, as in `manifest["flights"].uris`.

    number: 1 for the first export in its place, one more for each later one.
    over: the run that was published before, "" for none.
    removed: tables of that run that this one does not have.
    oldest_snapshot_time: that of its oldest table.
    tool: the version of bqdump.
    definitions: what rebuilds the dataset around its tables.
    """

    run: str
    number: int
    tool: str
    status: Literal["complete", "partial"]
    project: str
    dataset: str
    location: str
    snapshot_time: datetime
    oldest_snapshot_time: datetime | None
    mode: Literal["replace", "keep"]
    settings: dict[str, Any]
    totals: Totals
    tables: tuple[Table, ...]
    skipped: tuple[Skipped, ...]
    failed: tuple[Failure, ...]
    removed: tuple[Removed, ...]
    flags: tuple[Flag, ...]
    definitions: Definitions
    over: str

    @cached_property
    def _by_name(self) -> dict[str, Table]:
        return {table.table: table for table in self.tables}

    def __getitem__(self, name: str) -> Table:
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(self._missing(name)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self.tables)

    def __repr__(self) -> str:
        return f"<Manifest of run {self.run}: {self.project}.{self.dataset}, {counted(len(self), 'table')}>"

    def to_dicts(self) -> list[dict[str, Any]]:
        """The tables as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`."""
        return [table.to_dict() for table in self.tables]

    def _missing(self, name: str) -> str:
        for failure in self.failed:
            if failure.table == name:
                return f"table {name!r} failed in run {self.run}: {failure.message}"
        for skipped in self.skipped:
            if skipped.table == name:
                return f"run {self.run} skipped {name!r}: {skipped.reason}"
        close = difflib.get_close_matches(name, self._by_name, n=CLOSE)
        guess = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        return f"run {self.run} has no table {name!r}{guess}"

    def _repr_html_(self) -> str:
        names = ("table", "rows", "files", "bytes", "format", "route", "snapshot_time")
        rows = [{name: row[name] for name in names} for row in self.to_dicts()]
        dataset = f"{self.project}.{self.dataset}"
        facts = {"run": self.run, "state": self.status, "dataset": dataset, "snapshot_time": self.snapshot_time}
        return html_table([facts]) + html_table(rows)


def readable(document: Document, address: str) -> Manifest:
    """A manifest for Python programs. address: what the name of a file is appended to."""
    return Manifest(
        run=document.run,
        number=document.number,
        tool=document.tool,
        status=document.status,
        project=document.project,
        dataset=document.dataset,
        location=document.location,
        snapshot_time=time_of(document.snapshot),
        oldest_snapshot_time=time_in(document.oldest_snapshot_time),
        mode=document.mode,
        settings=document.settings,
        totals=document.totals,
        tables=tuple(_table(document, entry, address) for entry in document.tables),
        skipped=document.skipped,
        failed=document.failed,
        removed=document.removed,
        flags=document.flags,
        definitions=readable_definitions(document.definitions),
        over=document.over,
    )


def _table(document: Document, entry: TableEntry, address: str) -> Table:
    return Table(
        table=entry.table,
        kind=entry.kind,
        route=entry.route,
        snapshot_time=time_of(snapshot_of(document, entry)),
        read_at=entry.read_at,
        why=entry.why,
        rows=entry.rows,
        expected_rows=entry.expected_rows,
        planned_rows=entry.planned_rows,
        planned_bytes=entry.planned_bytes,
        bytes=sum(file.size for file in entry.files),
        format=entry.format,
        compression=entry.compression,
        files=entry.files,
        uris=[address + file.name for file in entry.files],
        created=time_of(entry.created),
        started=time_of(entry.started),
        ended=time_of(entry.ended),
        billed=entry.billed,
        definition=msgspec.json.decode(entry.definition),
        settings=settings_of(document, entry),
        carried_from=entry.carried.run if entry.carried else "",
        iceberg=address + entry.iceberg[-1].name if entry.iceberg else "",
        read_time=time_of(read_time_of(document, entry)),
    )
