"""Translates BigQuery's SQL to DuckDB's: names of tables, time travel, parameters, types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from bqdump_local.bigquery.errors import BigQueryError, invalid_query, unsupported
from bqdump_local.bigquery.functions import calls, known
from bqdump_local.bigquery.sql import (
    inlining,
    metadata,
    names,
    operands,
    parameters,
    partition_filter,
    rewrites,
    unnested,
)
from bqdump_local.bigquery.sql.parsing import parse
from bqdump_local.bigquery.sql.reads import Reads
from bqdump_local.bigquery.sql.results import cast_types
from bqdump_local.bigquery.tables.tables import PARTITION_TIME, Table
from bqdump_local.bigquery.types import Field, quote

if TYPE_CHECKING:
    from bqdump_local.bigquery.tables.catalog import Catalog

VIEWS = "INFORMATION_SCHEMA."
PSEUDO_COLUMNS = {"_PARTITIONTIME", "_PARTITIONDATE"}


@dataclass
class Translation:
    """The context for translating the statements of one job."""

    catalog: Catalog
    project: str
    default_dataset: tuple[str, str] | None
    location: str
    now_ms: int
    parameters: list[dict[str, Any]] = field(default_factory=list)
    read_external: Callable[[Table], str] | None = None
    reads: Reads = field(default_factory=Reads)
    _positional: int = 0

    def reference(self, node: exp.Table) -> tuple[str, str, str]:
        """The project, dataset and table of a name in a statement."""
        if node.db:
            return node.catalog or self.project, node.db, node.name
        if self.default_dataset is None:
            raise invalid_query(f'Table "{node.name}" must be qualified with a dataset (e.g. dataset.table).')
        return (*self.default_dataset, node.name)

    def find(self, node: exp.Table) -> Table:
        """The table with a name, in this job's location."""
        project, dataset, name = self.reference(node)
        if name.endswith("*"):
            raise unsupported("wildcard tables", location="query")
        suffix = f" was not found in location {self.location}"
        try:
            table = self.catalog.table(project, dataset, name)
        except BigQueryError as error:
            raise BigQueryError(error.reason, error.message + suffix) from error
        if table.location.casefold() != self.location.casefold():
            raise BigQueryError("notFound", f"Not found: Dataset {project}:{dataset}{suffix}")
        return table

    def find_named(self, text: str) -> Table:
        """The table with this name, as written in a statement that is not parsed."""
        node = parse(f"SELECT 1 FROM {text}")[0].find(exp.Table)
        if node is None:
            raise invalid_query("The statement names no table.")
        return self.find(node)

    def to_duckdb(self, statement: exp.Expression, target: exp.Table | None = None, stored: str = "") -> str:
        """Translate the statement, which is changed. target: a table to replace by the stored table of that name."""
        pseudo = names_pseudo_columns(statement)
        statement = self.resolve(statement, target, stored)
        operands.check(statement, self.reads.fields)
        unnested.count_from_zero(statement)
        statement = calls.replace(statement)
        statement = statement.transform(self.rewrite, copy=False)
        if pseudo:
            for star in statement.find_all(exp.Star):
                if isinstance(star.parent, exp.Select):
                    excluded = [*(star.args.get("except_") or []), exp.column(PARTITION_TIME)]
                    star.set("except_", excluded)
        return str(statement.sql(dialect="duckdb", copy=False))

    def resolve(self, statement: exp.Expression, target: exp.Table | None = None, stored: str = "") -> exp.Expression:
        """The statement with stored tables in place of those that it names, which `reads` has then."""
        pseudo = names_pseudo_columns(statement)
        defined = {cte.alias.lower() for cte in statement.find_all(exp.CTE)}
        statement = inlining.with_calls_inlined(statement, self.catalog, self.project)
        named = list(statement.find_all(exp.Table))
        names.unqualify(statement, named, self.project)
        names.refuse_duplicates(statement)
        unnested.name_members(statement, self._columns_of(named))
        for node in named:
            if (
                isinstance(node.this, exp.Anonymous)
                and (query := inlining.inlined(node, self.catalog, self.project)) is not None
            ):
                self._function(node, query)
            elif isinstance(node.this, exp.Func):
                raise known.of_tables(node)
            elif target is not None and node is target:
                node.replace(_plain_table(stored, node.alias or node.name))
            elif (node.db or node.name.lower() not in defined) and isinstance(node.this, exp.Identifier):
                node.replace(self._relation(node, pseudo=pseudo))
        return statement

    def _columns_of(self, named: Sequence[exp.Table]) -> dict[str, Sequence[Field]]:
        """The columns of those tables that are stored or views, by the name that the statement gives them."""
        columns: dict[str, Sequence[Field]] = {}
        for node in named:
            if isinstance(node.this, exp.Identifier) and (node.db or self.default_dataset):
                with suppress(BigQueryError):
                    columns[node.alias_or_name.lower()] = self.find(node).fields
        return columns

    def _function(self, node: exp.Table, query: exp.Expression) -> None:
        """Replace the call of a table function by its query."""
        node.replace(_subquery(self._within_project(self.project).to_duckdb(query), node.alias or "called"))

    def _within_project(self, project: str) -> Translation:
        """The context of a view or a table function, whose names are relative to its project. It shares `reads`."""
        return replace(self, project=project, default_dataset=None, parameters=[], _positional=0)

    def _relation(self, node: exp.Table, *, pseudo: bool) -> exp.Expression:
        of_dataset = node.db and not node.db.lower().startswith("region-")
        if node.name.upper().startswith(VIEWS) and not (of_dataset and metadata.has(node.name)):
            raise unsupported(f"the view {node.db and node.db + '.'}{node.name}", location="query")
        project, dataset, name = self.reference(node)
        alias = node.alias.rpartition(".")[2] or name
        if virtual := metadata.virtual_table(self.catalog, project, dataset, name):
            self.reads.metadata |= name.upper().startswith(VIEWS)
            return _subquery(virtual, alias.rpartition(".")[2])
        table = self.find(node)
        self.reads.tables.append(table)
        joins = node.args.get("joins")
        relation = self._table_relation(table, node, alias, pseudo=pseudo)
        if joins:
            relation.set("joins", joins)
        return relation

    def _table_relation(self, table: Table, node: exp.Table, alias: str, *, pseudo: bool) -> exp.Expression:
        if node.args.get("version") is not None and table.kind != "TABLE" and table.kind != "SNAPSHOT":
            raise invalid_query(f"FOR SYSTEM_TIME AS OF cannot be used with {table.name}, which is a {table.kind}.")
        if table.view_query is not None:
            inner = self._within_project(table.project)
            return _subquery(inner.to_duckdb(parse(table.view_query)[0]), alias)
        if table.kind == "EXTERNAL":
            if self.read_external is None:
                raise invalid_query(f"Table {table.name} is external, which is not supported here.")
            return _subquery(f"SELECT * FROM {self.read_external(table)}", alias)
        select = node.find_ancestor(exp.Select)
        where = select.args.get("where") if select is not None else None
        if objection := partition_filter.objection(table, where.this if where is not None else None):
            raise invalid_query(objection)
        moment = node.args.get("version")
        version = table.current if moment is None else table.version_at(self.milliseconds(moment), self.now_ms)
        self.reads.fields.extend(version.fields)
        buffer = table.buffer if moment is None else None
        if buffer is None and not table.ingestion_time:
            return _plain_table(version.name, alias)
        selected = [quote(item.name) for item in version.fields]
        if table.ingestion_time and pseudo:
            selected += [PARTITION_TIME]
        columns = ", ".join(selected) or "*"
        both = [version.name, *([buffer.name] if buffer else [])]
        return _subquery(" UNION ALL ".join(f"SELECT {columns} FROM {source}" for source in both), alias)

    def expression(self, node: exp.Expression) -> str:
        """An expression outside of a query, for DuckDB."""
        return str(calls.replace(node.copy()).transform(self.rewrite).sql(dialect="duckdb"))

    def milliseconds(self, moment: exp.Expression) -> int:
        """The time of FOR SYSTEM_TIME AS OF."""
        value = self.expression(moment.expression)
        with self.catalog.warehouse.cursor() as cursor:
            return int(cursor.execute(f"SELECT epoch_ms(({value})::TIMESTAMPTZ)").fetchall()[0][0])

    def rewrite(self, node: exp.Expression) -> exp.Expression:
        """One node for DuckDB, where sqlglot's translation differs from BigQuery's semantics."""
        return change(self, node) if (change := rewrites.CHANGES.get(type(node))) is not None else node

    def parameter(self, node: exp.Expression) -> exp.Expression:
        """The value of a parameter of the query. Those without a name are taken in turn."""
        parameter = parameters.find(self.parameters, node.name, self._positional)
        self._positional += node.name in {"", "?"}
        return parameters.value(parameter["parameterType"], parameter.get("parameterValue") or {})

    def casts(self, select: exp.Expression) -> dict[str, str]:
        """The type of each column of a query that is a CAST or a parameter."""
        return cast_types(select, self.parameters)


def names_pseudo_columns(statement: exp.Expression) -> bool:
    """Whether a statement names `_PARTITIONTIME` or `_PARTITIONDATE`."""
    return any(column.name.upper() in PSEUDO_COLUMNS for column in statement.find_all(exp.Column))


def _subquery(text: str, alias: str) -> exp.Expression:
    return exp.Subquery(this=rewrites.duckdb(text), alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))


def _plain_table(stored: str, alias: str) -> exp.Table:
    schema, _, name = stored.partition(".")
    return exp.Table(
        this=exp.to_identifier(name),
        db=exp.to_identifier(schema),
        alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)),
    )
