"""The definitions of an export for a Python program: resources of BigQuery's API as dictionaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from bqdump.core.documents.definitions import Definitions as Document
from bqdump.core.documents.definitions import Index, ObjectDefinition, RoutineDefinition, RowPolicy, Unread
from bqdump.core.results import public


@public
@dataclass(frozen=True, kw_only=True)
class Definition:
    """A view, external table or other object, or a routine, as tables.get or routines.get returned it.

    kind: as in tables.list (VIEW), or the routineType (SCALAR_FUNCTION). sql: of a view, materialized view or routine;
    "" for everything else.
    """

    name: str
    kind: str
    sql: str
    definition: dict[str, Any]


@public
@dataclass(frozen=True, kw_only=True)
class Definitions:
    """What rebuilds a dataset around its tables, whose own definitions are in `Table.definition`.

    dataset: its resource, without what BigQuery alone sets; empty if the export did not record it. objects: all that
    are not plain tables, whether or not their rows are exported. models: the names of models, which are not exported.
    unread: what the account could not read.
    """

    dataset: dict[str, Any]
    objects: tuple[Definition, ...]
    routines: tuple[Definition, ...]
    models: tuple[str, ...]
    policies: tuple[RowPolicy, ...]
    indexes: tuple[Index, ...]
    unread: tuple[Unread, ...]


def readable_definitions(document: Document) -> Definitions:
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
