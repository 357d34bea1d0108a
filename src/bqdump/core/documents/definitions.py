"""What a dataset is besides the rows of its tables: its own properties, views, routines, row access policies, indexes.

All definitions are resources of BigQuery's API as it returned them.
"""

from __future__ import annotations

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

    dataset: the resource of the dataset, without what BigQuery alone sets; JSON null in exports that did not record it.
    objects: those that --include and --exclude choose. policies, indexes: of the exported tables.
    models: the names of the dataset's models, which are not exported.
    """

    dataset: msgspec.Raw = msgspec.field(default_factory=lambda: NOTHING)
    objects: tuple[ObjectDefinition, ...] = ()
    routines: tuple[RoutineDefinition, ...] = ()
    models: tuple[str, ...] = ()
    policies: tuple[RowPolicy, ...] = ()
    indexes: tuple[Index, ...] = ()
    unread: tuple[Unread, ...] = ()
