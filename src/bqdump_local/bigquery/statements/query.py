"""Query jobs, with every kind of statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from bqdump_local.bigquery.errors import BigQueryError, cancelled, invalid_query
from bqdump_local.bigquery.rows import load, writing
from bqdump_local.bigquery.rows.readers import reader
from bqdump_local.bigquery.sql import anonymous, metadata
from bqdump_local.bigquery.sql.parsing import parse
from bqdump_local.bigquery.sql.refusals import refusal
from bqdump_local.bigquery.sql.results import JobResult, Result, describe, fetch, name_columns
from bqdump_local.bigquery.sql.translation import Translation
from bqdump_local.bigquery.statements import altering, clones, ddl, dml, export_data, indexes, policies, routines
from bqdump_local.bigquery.statements.connection import dataset_project
from bqdump_local.bigquery.statements.scripts import temporary_tables
from bqdump_local.bigquery.types import parse_fields

if TYPE_CHECKING:
    from bqdump_local.bigquery.files.objects import ObjectStore
    from bqdump_local.bigquery.tables.catalog import Catalog
    from bqdump_local.bigquery.tables.tables import Table

DML = {exp.Insert: "INSERT", exp.Update: "UPDATE", exp.Delete: "DELETE", exp.Merge: "MERGE"}


class Query:
    """One query job."""

    def __init__(
        self, catalog: Catalog, store: ObjectStore, project: str, configuration: dict[str, Any], location: str
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._query = configuration["query"]
        self._outside: list[str] = []
        self._needed = 0
        # The bytes of each table that was read.
        self._measured: dict[str, int] = {}
        self._destination: dict[str, str] | None = None
        # The project of datasets that are named without one, which need not be that of the job.
        project = dataset_project(self._query) or project
        default = self._query.get("defaultDataset")
        self._translation = Translation(
            catalog,
            project,
            (default.get("projectId") or project, default["datasetId"]) if default else None,
            location,
            catalog.settings.now_ms(),
            parameters=self._query.get("queryParameters") or [],
            read_external=self._read_external,
        )

    def run(self, stopped: Callable[[], bool] = lambda: False) -> JobResult:
        """Run all statements. Returns the result of the last one."""
        outcome = JobResult()
        try:
            text = self._query["query"]
            if kind := self._definition(text):
                outcome.statistics["statementType"] = kind
            else:
                statements = parse(text)
                with temporary_tables(statements, self._translation):
                    for statement in statements:
                        if stopped():
                            raise cancelled()
                        self._check_limit(statement)
                        outcome = self._statement(statement, stopped)
                        # A later statement may drop what this one has read.
                        self._processed()
                if len(statements) > 1:
                    outcome.statistics["statementType"] = "SCRIPT"
        except duckdb.Error as error:
            raise refusal(error) from error
        except RecursionError as error:
            raise invalid_query("The query is nested too deeply.") from error
        finally:
            self._catalog.warehouse.drop(self._outside)
        processed = str(self._processed())
        outcome.statistics |= {"totalBytesProcessed": processed, "totalBytesBilled": _billed(int(processed))}
        outcome.statistics["cacheHit"] = False
        read = self._translation.reads.tables
        outcome.statistics["rowLevelSecurityStatistics"] = {"rowLevelSecurityApplied": any(t.policies for t in read)}
        outcome.statistics["dataMaskingStatistics"] = {"dataMaskingApplied": any(t.masked for t in read)}
        return outcome

    def _definition(self, text: str) -> str | None:
        """Run a statement about something that sqlglot does not parse. Returns its type; None for another one."""
        for run in (policies.run, routines.run, indexes.run, clones.run):
            if kind := run(text, self._translation):
                return kind
        return None

    def dry_run(self) -> JobResult:
        """Check the statements and compute the bytes to read, without changing anything."""
        outcome = JobResult()
        try:
            for statement in parse(self._query["query"]):
                select = statement.this if isinstance(statement, exp.Export) else statement
                outcome.statistics["statementType"] = _type_of(statement)
                if isinstance(select, exp.Query):
                    self._check_literals(select)
                    name_columns(select)
                    casts = self._translation.casts(select)
                    sql = self._translation.to_duckdb(select)
                    with self._catalog.warehouse.cursor() as cursor:
                        fields = describe(cursor, sql, self._translation.reads.fields, casts)
                    outcome.result = Result(fields, [])
                else:
                    self._refer(statement)
        except duckdb.Error as error:
            raise refusal(error) from error
        finally:
            self._catalog.warehouse.drop(self._outside)
        processed = str(self._processed())
        outcome.statistics |= {"totalBytesProcessed": processed, "totalBytesBilled": "0", "cacheHit": False}
        external = any(table.kind == "EXTERNAL" for table in self._translation.reads.tables)
        outcome.statistics["totalBytesProcessedAccuracy"] = "LOWER_BOUND" if external else "PRECISE"
        distinct = {table.name: table for table in self._translation.reads.tables if table.view_query is None}
        outcome.statistics["referencedTables"] = [
            {"projectId": table.project, "datasetId": table.dataset, "tableId": table.table_id}
            for table in distinct.values()
        ]
        return outcome

    def _check_literals(self, select: exp.Expression) -> None:
        """Check casts of literals, which BigQuery evaluates while it analyses a query."""
        for cast in select.find_all(exp.Cast):
            if isinstance(cast.this, exp.Literal) and cast.this.is_string:
                with self._catalog.warehouse.cursor() as cursor:
                    try:
                        cursor.execute(f"SELECT {self._translation.expression(cast)}")
                    except duckdb.ConversionException as error:
                        kind = cast.to.sql(dialect="bigquery")
                        raise invalid_query(f'Could not cast literal "{cast.name}" to type {kind}') from error

    def _check_limit(self, statement: exp.Expression) -> None:
        """Refuse a statement with which the job would bill more than the limit in the request."""
        if not (limit := int(self._query.get("maximumBytesBilled") or 0)):
            return
        unlimited = {"query": {key: value for key, value in self._query.items() if key != "maximumBytesBilled"}}
        branch = Query(self._catalog, self._store, self._translation.project, unlimited, self._translation.location)
        self._needed += int(_billed(branch._read_by(statement.copy())))
        if self._needed > limit:
            message = f"Query exceeded limit for bytes billed: {limit}. {self._needed} or higher required."
            raise BigQueryError("bytesBilledLimitExceeded", message)

    def _read_by(self, statement: exp.Expression) -> int:
        """The bytes that a statement reads."""
        select = statement.this if isinstance(statement, exp.Export) else statement
        try:
            if isinstance(select, exp.Query):
                self._translation.resolve(select)
            else:
                self._refer(statement)
        finally:
            self._catalog.warehouse.drop(self._outside)
        return self._processed()

    def _refer(self, statement: exp.Expression) -> None:
        if isinstance(statement, (exp.Insert, exp.Update, exp.Delete, exp.Merge)):
            for node in statement.find_all(exp.Table):
                self._translation.reads.tables.append(self._translation.find(node))

    def _processed(self) -> int:
        for table in self._translation.reads.tables:
            if table.name not in self._measured:
                self._catalog.access.require(table.project, "bigquery.tables.getData")
                self._measured[table.name] = metadata.measured(self._catalog, table)[1]
        return sum(self._measured.values()) + metadata.LEAST_BYTES * self._translation.reads.metadata

    def _statement(self, statement: exp.Expression, stopped: Callable[[], bool]) -> JobResult:
        outcome = JobResult({"statementType": _type_of(statement)})
        match statement:
            case exp.Query():
                outcome.result = self._select(statement)
                outcome.destination = self._destination
            case exp.Export():
                statistics = export_data.run(statement, self._translation, self._store, stopped)
                outcome.statistics["exportDataStatistics"] = statistics
            case exp.Create():
                changed = self._changed(statement) if statement.expression is not None else None
                kind = ddl.create(statement, self._translation)
                outcome.statistics["statementType"] = kind
                outcome.destination = changed if kind == "CREATE_TABLE_AS_SELECT" else None
            case exp.Drop():
                outcome.statistics["statementType"] = ddl.drop(statement, self._translation)
            case exp.Alter():
                outcome.statistics["statementType"] = altering.alter(statement, self._translation)
            case exp.TruncateTable():
                outcome.statistics["dmlStats"] = dml.truncate(statement, self._translation)
            case exp.Insert() | exp.Update() | exp.Delete() | exp.Merge():
                outcome.destination = self._changed(statement)
                outcome.affected_rows, stats = dml.change(statement, self._translation)
                outcome.statistics["dmlStats"] = stats
            case _:
                raise invalid_query(f"Statement not supported: {statement.sql(dialect='bigquery')[:80]}")
        if outcome.affected_rows is not None:
            outcome.statistics["numDmlAffectedRows"] = str(outcome.affected_rows)
        return outcome

    def _changed(self, statement: exp.Expression) -> dict[str, str]:
        """The table that a statement creates from a query, or changes: the destination of its job."""
        node = statement.this.this if isinstance(statement.this, exp.Schema) else statement.this
        project, dataset, table = self._translation.reference(node)
        return {"projectId": project, "datasetId": dataset, "tableId": table}

    def _select(self, statement: exp.Expression) -> Result:
        stored, fields = ddl.materialize(statement, self._translation)
        if not (destination := self._query.get("destinationTable")):
            with self._catalog.warehouse.cursor() as cursor:
                result = Result(fields, fetch(cursor, fields, stored))
            self._destination = anonymous.keep(self._catalog, self._translation, stored, fields)
            return result
        try:
            with self._catalog.warehouse.cursor() as cursor:
                writing.place(self._catalog, destination, self._query, fields, f"SELECT * FROM {stored}")
                return Result(fields, fetch(cursor, fields, stored))
        finally:
            self._catalog.warehouse.drop([stored])

    def _read_external(self, table: Table) -> str:
        """Read the files of an external table into a stored table, which is removed after the job."""
        external = table.properties["externalDataConfiguration"]
        csv = external.get("csvOptions") or {}
        options = {
            **external,
            **(external.get("avroOptions") or {}),
            **csv,
            "skipLeadingRows": csv.get("skipLeadingRows") or 0,
        }
        fields = table.fields or parse_fields((external.get("schema") or {}).get("fields") or ())
        name = self._catalog.warehouse.fresh_name()
        self._outside.append(name)
        with (
            self._catalog.warehouse.cursor() as cursor,
            load.Files.download(self._catalog.warehouse, self._store, external["sourceUris"]) as files,
        ):
            columns, select = reader(cursor, files.paths, options, fields)
            cursor.execute(f"CREATE TABLE {name} AS {select}")
        self._translation.reads.fields.extend(columns)
        return name


def _type_of(statement: exp.Expression) -> str:
    if isinstance(statement, exp.Query):
        return "SELECT"
    known = {**DML, exp.Export: "EXPORT_DATA", exp.TruncateTable: "TRUNCATE_TABLE", exp.Alter: "ALTER_TABLE"}
    return str(known.get(type(statement)) or statement.key.upper())


def _billed(processed: int) -> str:
    """The bytes billed: complete MB, and at least 10 MB for a query that reads a table."""
    megabyte = 1 << 20
    return str(max(10 * megabyte, -(-processed // megabyte) * megabyte)) if processed else "0"


def refuse_bad_query(configuration: dict[str, Any]) -> None:
    """Refuse a request without a query."""
    if not (configuration.get("query") or {}).get("query"):
        raise BigQueryError("invalid", "Required parameter is missing: query")
