"""What a dataset is besides the rows of its tables: its own properties, views, routines, row access policies, indexes.

All definitions are resources of BigQuery's API as it returned them.

The types of those properties of a definition that bqdump computes with; it keeps all others as they are.

Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#resource-table, and the same of datasets and
routines
"""

from __future__ import annotations

from typing import Any

import msgspec

from bqdump.core.results import public

NOTHING = msgspec.Raw(b"null")


class ObjectDefinition(msgspec.Struct, frozen=True):
    """A view, materialized view, external table or other object of the dataset, whether or not its rows are exported.

    kind: as in tables.list, such as VIEW. An Iceberg table has the kind TABLE.
    """

    name: str
    kind: str
    definition: msgspec.Raw


class RoutineDefinition(msgspec.Struct, frozen=True):
    """A function, table function or procedure. kind: the API's routineType."""

    name: str
    kind: str
    definition: msgspec.Raw


@public
class RowPolicy(msgspec.Struct, frozen=True):
    """A row access policy: its filter and its members. grantees: None where the members could not be read."""

    table: str
    name: str
    filter: str
    grantees: tuple[str, ...] | None = None


@public
class Index(msgspec.Struct, frozen=True):
    """A search or vector index, by the statement that creates it. kind: SEARCH or VECTOR."""

    table: str
    name: str
    kind: str
    ddl: str


@public
class Unread(msgspec.Struct, frozen=True, omit_defaults=True):
    """Definitions that the export lacks, such as "the members of row access policy p of table t", and why.

    table: the one that they belong to, "" for those of the dataset.
    """

    what: str
    reason: str
    table: str = ""


class Definitions(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that rebuilds the dataset around its tables; the tables' own definitions are in their entries.

    dataset: the resource of the dataset, without what BigQuery alone sets; JSON null in exports that did not record
        it.
    objects: those that --include and --exclude choose.
    policies, indexes: of the exported tables.
    models: the names of the dataset's models, which are not exported.
    """

    dataset: msgspec.Raw = msgspec.field(default_factory=lambda: NOTHING)
    objects: tuple[ObjectDefinition, ...] = ()
    routines: tuple[RoutineDefinition, ...] = ()
    models: tuple[str, ...] = ()
    policies: tuple[RowPolicy, ...] = ()
    indexes: tuple[Index, ...] = ()
    unread: tuple[Unread, ...] = ()


class _TimePartitioning(msgspec.Struct, rename="camel"):
    type: str = "DAY"
    field: str | None = None
    expiration_ms: int | None = None


class _Range(msgspec.Struct):
    start: int
    end: int
    interval: int


class _RangePartitioning(msgspec.Struct):
    field: str
    range: _Range


class _Clustering(msgspec.Struct):
    fields: list[str] = []


class _PrimaryKey(msgspec.Struct):
    columns: list[str] = []


class _Reference(msgspec.Struct, rename="camel"):
    referencing_column: str
    referenced_column: str


class _ForeignKey(msgspec.Struct, rename="camel"):
    referenced_table: dict[str, str]
    column_references: list[_Reference]


class _Constraints(msgspec.Struct, rename="camel"):
    primary_key: _PrimaryKey | None = None
    foreign_keys: list[_ForeignKey] | None = None


class _Query(msgspec.Struct):
    query: str = ""


class _Properties(msgspec.Struct, rename="camel"):
    expiration_time: int | None = None
    time_partitioning: _TimePartitioning | None = None
    range_partitioning: _RangePartitioning | None = None
    clustering: _Clustering | None = None
    labels: dict[str, str] | None = None
    table_constraints: _Constraints | None = None
    view: _Query | None = None
    materialized_view: _Query | None = None


class _Dataset(msgspec.Struct, rename="camel"):
    labels: dict[str, str] | None = None
    access: list[dict[str, str | dict[str, Any]]] | None = None


class _Routine(msgspec.Struct, rename="camel"):
    definition_body: str | None = None
    language: str | None = None


def check_table(definition: msgspec.Raw) -> None:
    """Raise msgspec.MsgspecError for a definition in which a property has another type than in BigQuery's API."""
    # The API has 64-bit integers as strings.
    msgspec.json.decode(definition, type=_Properties | None, strict=False)


def check_dataset(definition: msgspec.Raw) -> None:
    """The same for a dataset."""
    msgspec.json.decode(definition, type=_Dataset | None)


def check_routine(definition: msgspec.Raw) -> None:
    """The same for a routine."""
    msgspec.json.decode(definition, type=_Routine)
