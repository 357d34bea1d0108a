"""The plan of a restore: what is created, loaded and rebuilt in the target dataset, and what is not, and why.

It follows from the manifest, the options and what the target dataset holds, so every task computes the same plan.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from bqdump.core.documents.manifest import File, TableEntry
from bqdump.core.plan.catalog import Dataset
from bqdump.core.results import public

# create: the name is free. replace: what has this name is replaced, at once. resume: a table that an earlier start of
# this restore has created. keep: the table is there already (missing-only).
Action = Literal["create", "replace", "resume", "keep"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore was asked for. include, exclude: patterns of names, as for an export."""

    project: str
    dataset: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    replace: bool = False
    missing_only: bool = False
    with_policies: bool = False
    keep_references: bool = False


class Load(msgspec.Struct, frozen=True):
    """How the files of a table load.

    options: of the format, see LoadRequest. schema: the columns as the files have them (a TableSchema). select: ""
    where they load as they are; otherwise the files load into a scratch table with this schema, and this is the list of
    expressions, one for each of `columns`, that fills the table from it. why: the reason for that.
    groups: the files of each load job, which respect the limits of a job.
    """

    options: msgspec.Raw
    schema: msgspec.Raw
    groups: tuple[tuple[File, ...], ...]
    columns: tuple[str, ...] = ()
    select: str = ""
    why: str = ""


class TableStep(msgspec.Struct, frozen=True, kw_only=True):
    """One table that is restored.

    create: for tables.insert, without what is set later. finish: for tables.patch once the rows are there (keys,
    defaults, labels). relate: foreign keys, once all tables are finished. expire: expirations, last of all. Each is
    JSON null where there is nothing to set. as_what: how the table differs from the one that was exported, such as
    "columns are masked"; "" where it does not.
    """

    entry: TableEntry
    action: Action
    create: msgspec.Raw
    finish: msgspec.Raw
    relate: msgspec.Raw
    expire: msgspec.Raw
    load: Load
    as_what: str = ""


class ObjectStep(msgspec.Struct, frozen=True, kw_only=True):
    """A view, materialized view, external table, routine, index or row access policy, created after the tables.

    definition: for the API, or (index) a DDL statement as a JSON string. table: of a policy or an index.
    """

    name: str
    kind: str
    action: Action
    definition: msgspec.Raw
    table: str = ""


@public
class NotRestored(msgspec.Struct, frozen=True):
    """An object of the export that is not restored, and why."""

    name: str
    kind: str
    reason: str


class RestorePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a restore does, in this order: dataset, tables, objects in rounds, policies, expirations.

    create_dataset: for datasets.insert, JSON null where the dataset exists. finish_dataset: its defaults, set last, or
    JSON null.
    """

    run: str
    target: Dataset
    create_dataset: msgspec.Raw
    finish_dataset: msgspec.Raw
    tables: tuple[TableStep, ...]
    objects: tuple[ObjectStep, ...]
    policies: tuple[ObjectStep, ...]
    not_restored: tuple[NotRestored, ...]


class TargetState(NamedTuple):
    """What the target dataset holds: kind and labels by name, and routines. None: the dataset does not exist."""

    location: str
    tables: dict[str, tuple[str, dict[str, str]]]
    routines: frozenset[str]
