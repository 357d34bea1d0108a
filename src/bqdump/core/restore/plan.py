"""The plan of a restore: what is created, loaded and rebuilt in the target dataset, and what is not, and why.

It follows from the manifest, the options and what the target dataset holds, so every task computes the same plan.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from bqdump.core.documents.definitions import NOTHING
from bqdump.core.documents.manifest import File, TableEntry
from bqdump.core.results import public
from bqdump.core.tables.catalog import Dataset

# The operation in errors, and how many names one of them lists.
PLAN, SHOWN = "plan the restore", 3
# Kinds of objects: of tables.list, and those that it does not list.
TABLE, ROUTINE, INDEX, POLICY, ACCESS = "TABLE", "ROUTINE", "INDEX", "POLICY", "ACCESS"

# create: the name is free. fill: an empty table gets rows (data_only). replace: what has this name is replaced, at
# once; with data_only, its rows. resume: an earlier start of this restore has created it. keep: it exists already, and
# is finished (missing_only), so it has no step. grant: an access entry is added.
Action = Literal["create", "fill", "replace", "resume", "keep", "grant"]


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is requested of a restore. Its digest stays the same if a later release has more options.

    include, exclude: patterns of names, as for an export.
    as_: see names.parse_as.
    schema_only: tables without rows.
    data_only: rows, into tables that exist.
    temporary: what is created expires by itself, see planning.temporary; for a dataset that does not exist.
    others: the datasets that are restored along with it, each with the name that it has in the target project then.
    restore: the mark of the restore, which is the label of the tables that it has not finished; "" before it has one.
    partitions: such as "clicks$20261101" or "clicks$20261101..20261130"; then `include` has the names of these tables.
    """

    project: str
    dataset: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    as_: str = ""
    schema_only: bool = False
    data_only: bool = False
    replace: bool = False
    missing_only: bool = False
    with_policies: bool = False
    with_access: bool = False
    keep_references: bool = False
    temporary: bool = False
    others: tuple[tuple[str, str], ...] = ()
    restore: str = ""
    partitions: tuple[str, ...] = ()


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How the files of a table load: directly, or into a scratch table, from which a billed query fills the table.

    options: of the format, see LoadRequest.
    schema: the columns as the files have them (a TableSchema).
    groups: the files of each load job, which respect the limits of a job; none where the table has no rows.
    scratch: the definition of a scratch table, for tables.insert.
    columns, values: the columns of the table, and the expression that each is filled with from a scratch table, see
        partitions.fill.
    casts: why the files load into a scratch table, "" where they load directly.
    like_null: where they load directly, the columns that have no NULL and may have a value that load jobs take for it:
        if BigQuery refuses the files, they load into a scratch table, too.
    partitions: the one that each group loads into, where only the files' names say so; else none.
    where: which rows of the scratch table, "" for all.
    """

    options: msgspec.Raw
    schema: msgspec.Raw
    groups: tuple[tuple[File, ...], ...]
    scratch: msgspec.Raw
    columns: tuple[str, ...]
    values: tuple[str, ...]
    casts: str = ""
    like_null: str = ""
    partitions: tuple[str, ...] = ()
    where: str = ""

    @property
    def staged(self) -> msgspec.Raw:
        """The columns of a scratch table (a TableSchema)."""
        return msgspec.Raw(msgspec.json.encode(msgspec.json.decode(self.scratch)["schema"]))

    def value_of(self, column: str) -> str:
        """The expression that fills a column."""
        return self.values[self.columns.index(column)]


class TableStep(msgspec.Struct, frozen=True, kw_only=True):
    """One table that is restored. What BigQuery is to set is JSON null where there is nothing to set.

    name: in the target.
    create: for tables.insert, without what is set later.
    finish: for tables.patch once the rows are there (primary key, default values, labels, requirePartitionFilter); it
        removes the label of the restore.
    lasting: for tables.patch before the first row arrives, where expirations might delete it: defaults of the target
        dataset, or those of a table that is replaced.
    relate: foreign keys, once all tables are finished.
    expire: expirations, last of all.
    kept: the expirations that `lasting` removes, set again if the table is not replaced after all.
    expired_rows: the query for the number of rows that a partition expiration in `expire` would delete, "" without one.
    as_what: how the table differs from the one in the source, such as "columns are masked"; "" where it does not.
    altered: which values its format does not bring back exactly, in words, "" for none.
    partitions: the only ones that are restored, () for all; by ids, or ranges of them where files are not by partition.
    parts: the ids of those that are put in place one by one, as the table exists.
    held: the condition for the rows of these.
    direct: its files load into the table itself, as nothing is to be compared first: they cannot change, and it is new.
    """

    entry: TableEntry
    name: str
    action: Action
    create: msgspec.Raw
    finish: msgspec.Raw
    load: Load
    lasting: msgspec.Raw = NOTHING
    relate: msgspec.Raw = NOTHING
    expire: msgspec.Raw = NOTHING
    kept: msgspec.Raw = NOTHING
    expired_rows: str = ""
    as_what: str = ""
    altered: str = ""
    partitions: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    held: str = ""
    direct: bool = False

    @property
    def jobs(self) -> int:
        """The least number of jobs: loads, a query where values are cast, and a copy to the table's name."""
        if self.direct:
            return len(self.load.groups)
        return len(self.load.groups) + bool(self.load.casts and self.load.groups) + (len(self.parts) or 1)


class ObjectStep(msgspec.Struct, frozen=True, kw_only=True):
    """A view, materialized view, external table, routine, index, row access policy or access entry, after the tables.

    kind: as in tables.list; ROUTINE, INDEX, POLICY or ACCESS.
    definition: for the API; of an index, its DDL statement as a JSON string.
    finish: for tables.patch once it exists, JSON null where there is nothing to set.
    table: of a policy or an index.
    as_what: how it differs from the one in the source, or "".
    stays: the tables and routines of other datasets, or of the source, that its text names.
    """

    name: str
    kind: str
    action: Action
    definition: msgspec.Raw
    finish: msgspec.Raw = NOTHING
    table: str = ""
    as_what: str = ""
    stays: tuple[str, ...] = ()


@public
class NotRestored(msgspec.Struct, frozen=True):
    """An object of the export, or a property of one, that is not restored, and why."""

    name: str
    kind: str
    reason: str


class RestoreTotals(msgspec.Struct, frozen=True):
    """Sums over a plan.

    bytes: of the files.
    rows: as far as they are known.
    jobs: the least number.
    """

    tables: int
    objects: int
    files: int
    bytes: int
    rows: int
    jobs: int


class RestorePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a restore does, in this order: dataset, tables, objects in rounds, policies, expirations, access.

    create_dataset: for datasets.insert, JSON null where the dataset exists.
    finish_dataset: its defaults, set last, or JSON null.
    kept: what exists in the target already and is kept.
    excluded: the number of objects that the patterns exclude.
    """

    run: str
    source: Dataset
    target: Dataset
    create_dataset: msgspec.Raw
    finish_dataset: msgspec.Raw
    tables: tuple[TableStep, ...]
    objects: tuple[ObjectStep, ...]
    policies: tuple[ObjectStep, ...]
    access: tuple[ObjectStep, ...]
    not_restored: tuple[NotRestored, ...]
    kept: tuple[str, ...] = ()
    excluded: int = 0

    @property
    def others(self) -> tuple[ObjectStep, ...]:
        """Everything but the tables: their numbers in receipts and failures follow those of the tables."""
        return (*self.objects, *self.policies, *self.access)

    @property
    def in_place(self) -> bool:
        """Whether the target is the dataset that was exported."""
        return (self.source.project, self.source.name) == (self.target.project, self.target.name)

    @property
    def totals(self) -> RestoreTotals:
        """Sums over all steps."""
        files = [(step, file) for step in self.tables for group in step.load.groups for file in group]
        return RestoreTotals(
            tables=len(self.tables),
            objects=len(self.others),
            files=len(files),
            bytes=sum(file.size for _, file in files),
            rows=sum(step.entry.rows or 0 for step in self.tables),
            jobs=sum(step.jobs for step in self.tables),
        )


class TargetState(NamedTuple):
    """What the target dataset holds. None stands for a dataset that does not exist.

    tables: kind and labels, by name.
    expires: the dataset has default expirations.
    layouts: of the tables that are to be replaced, by name, see layout_of.
    definitions: of the tables that are to be filled, as BigQuery returned them.
    policies: of the tables whose rows are replaced, the names of row access policies and whether a restore has created
        each; None for a table whose policies may not be listed.
    expirations: of the same tables, for tables.patch; a decision has those of the plan only.
    rows: of the partitions to be restored, by table and id.
    numbers: the numbers in the plan of the tables that have expirations.
    ignores_case: see spelling.ignores_case.
    spelled: the names of tables there, by what the export, or the requested name, calls them in another case.
    """

    location: str
    tables: dict[str, tuple[str, dict[str, str]]]
    routines: frozenset[str]
    expires: bool = False
    layouts: dict[str, str] | None = None
    definitions: dict[str, msgspec.Raw] | None = None
    policies: dict[str, dict[str, bool] | None] | None = None
    expirations: dict[str, msgspec.Raw] | None = None
    rows: dict[str, dict[str, int]] | None = None
    numbers: dict[str, int] | None = None
    ignores_case: bool = False
    spelled: dict[str, str] | None = None

    def spelling(self, name: str) -> str:
        """The name there of the table that is called so."""
        return (self.spelled or {}).get(name, name)
