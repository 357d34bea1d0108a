"""Query jobs: every kind of statement."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from bqdump_local.bigquery import ddl, extract, load, metadata
from bqdump_local.bigquery.errors import BigQueryError, invalid
from bqdump_local.bigquery.formats import logical_bytes
from bqdump_local.bigquery.results import Result, cast_types, describe, fetch, name_columns
from bqdump_local.bigquery.sql import Translation, invalid_query, parse
from bqdump_local.bigquery.tables import PARTITION_TIME, Table
from bqdump_local.bigquery.types import parse_fields

if TYPE_CHECKING:
    from bqdump_local.bigquery.catalog import Catalog
    from bqdump_local.bigquery.objects import ObjectStore

DML = {exp.Insert: "INSERT", exp.Update: "UPDATE", exp.Delete: "DELETE", exp.Merge: "MERGE"}


@dataclass
class Outcome:
    """What a query job leaves behind."""

    statistics: dict[str, Any] = field(default_factory=dict)
    result: Result = field(default_factory=lambda: Result((), []))
    affected_rows: int | None = None


class Query:
    """One query job."""

    def __init__(
        self, catalog: Catalog, store: ObjectStore, project: str, configuration: dict[str, Any], location: str
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._query = configuration["query"]
        self._outside: list[str] = []
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

    def run(self, stopped: Callable[[], bool] = lambda: False) -> Outcome:
        """Do all statements; the outcome is that of the last one."""
        outcome = Outcome()
        try:
            text = self._query["query"]
            self._refuse_dear()
            if kind := ddl.row_access_policy(text, self._translation):
                outcome.statistics["statementType"] = kind
            else:
                statements = parse(text)
                for statement in statements:
                    outcome = self._statement(statement, stopped)
                if len(statements) > 1:
                    outcome.statistics["statementType"] = "SCRIPT"
        except duckdb.Error as error:
            raise invalid_query(_message(error)) from error
        finally:
            self._catalog.warehouse.drop(self._outside)
        processed = str(self._processed())
        outcome.statistics |= {"totalBytesProcessed": processed, "totalBytesBilled": _billed(int(processed))}
        outcome.statistics["cacheHit"] = False
        read = self._translation.referenced
        outcome.statistics["rowLevelSecurityStatistics"] = {"rowLevelSecurityApplied": any(t.policies for t in read)}
        outcome.statistics["dataMaskingStatistics"] = {"dataMaskingApplied": any(t.masked for t in read)}
        return outcome

    def dry_run(self) -> Outcome:
        """Check the statements and tell the bytes, without changing anything."""
        outcome = Outcome()
        try:
            for statement in parse(self._query["query"]):
                select = statement.this if isinstance(statement, exp.Export) else statement
                outcome.statistics["statementType"] = _type_of(statement)
                if isinstance(select, exp.Query):
                    self._check_literals(select)
                    casts = cast_types(select)
                    name_columns(select)
                    sql = self._translation.to_duckdb(select)
                    with self._catalog.warehouse.cursor() as cursor:
                        fields = describe(cursor, sql, self._translation.source_fields, casts)
                    outcome.result = Result(fields, [])
                elif isinstance(statement, (exp.Insert, exp.Update, exp.Delete, exp.Merge)):
                    for node in statement.find_all(exp.Table):
                        self._translation.referenced.append(self._translation.find(node))
        except duckdb.Error as error:
            raise invalid_query(_message(error)) from error
        finally:
            self._catalog.warehouse.drop(self._outside)
        processed = str(self._processed())
        outcome.statistics |= {"totalBytesProcessed": processed, "totalBytesBilled": "0", "cacheHit": False}
        external = any(table.kind == "EXTERNAL" for table in self._translation.referenced)
        outcome.statistics["totalBytesProcessedAccuracy"] = "LOWER_BOUND" if external else "PRECISE"
        distinct = {table.name: table for table in self._translation.referenced if table.view_query is None}
        outcome.statistics["referencedTables"] = [
            {"projectId": table.project, "datasetId": table.dataset, "tableId": table.table_id}
            for table in distinct.values()
        ]
        return outcome

    def _check_literals(self, select: exp.Expression) -> None:
        """Literals are cast while a query is analysed, not when it runs."""
        for cast in select.find_all(exp.Cast):
            if isinstance(cast.this, exp.Literal) and cast.this.is_string:
                with self._catalog.warehouse.cursor() as cursor:
                    try:
                        cursor.execute(f"SELECT {cast.transform(self._translation.rewrite).sql(dialect='duckdb')}")
                    except duckdb.ConversionException as error:
                        kind = cast.to.sql(dialect="bigquery")
                        raise invalid_query(f'Could not cast literal "{cast.name}" to type {kind}') from error

    def _refuse_dear(self) -> None:
        """Bill nothing beyond the limit that the request sets."""
        if not (limit := int(self._query.get("maximumBytesBilled") or 0)):
            return
        unlimited = {"query": {key: value for key, value in self._query.items() if key != "maximumBytesBilled"}}
        asked = Query(self._catalog, self._store, self._translation.project, unlimited, self._translation.location)
        needed = int(_billed(int(asked.dry_run().statistics["totalBytesProcessed"])))
        if needed > limit:
            message = f"Query exceeded limit for bytes billed: {limit}. {needed} or higher required."
            raise BigQueryError("bytesBilledLimitExceeded", message)

    def _processed(self) -> int:
        distinct = {table.name: table for table in self._translation.referenced}
        for table in distinct.values():
            self._catalog.access.require(table.project, "bigquery.tables.getData")
        read = sum(metadata.measured(self._catalog, table)[1] for table in distinct.values())
        return read + metadata.LEAST_BYTES * self._translation.reads_metadata

    def _statement(self, statement: exp.Expression, stopped: Callable[[], bool]) -> Outcome:
        outcome = Outcome({"statementType": _type_of(statement)})
        match statement:
            case exp.Query():
                outcome.result = self._select(statement)
            case exp.Export():
                outcome.statistics["exportDataStatistics"] = self._export(statement, stopped)
            case exp.Create():
                outcome.statistics["statementType"] = ddl.create(statement, self._translation)
            case exp.Drop():
                outcome.statistics["statementType"] = ddl.drop(statement, self._translation)
            case exp.Alter():
                outcome.statistics["statementType"] = ddl.alter(statement, self._translation)
            case exp.TruncateTable():
                self._truncate(statement)
            case exp.Insert() | exp.Update() | exp.Delete() | exp.Merge():
                outcome.affected_rows = self._change(statement)
            case _:
                raise invalid_query(f"Statement not supported: {statement.sql(dialect='bigquery')[:80]}")
        if outcome.affected_rows is not None:
            outcome.statistics["numDmlAffectedRows"] = str(outcome.affected_rows)
        return outcome

    def _select(self, statement: exp.Expression) -> Result:
        stored, fields = ddl.materialize(statement, self._translation)
        try:
            with self._catalog.warehouse.cursor() as cursor:
                if destination := self._query.get("destinationTable"):
                    load.place(self._catalog, destination, self._query, fields, f"SELECT * FROM {stored}")
                return Result(fields, fetch(cursor, fields, stored))
        finally:
            self._catalog.warehouse.drop([stored])

    def _export(self, statement: exp.Export, stopped: Callable[[], bool]) -> dict[str, Any]:
        options = _export_options(statement)
        uri = str(options.get("uri", ""))
        format_ = {"JSON": "NEWLINE_DELIMITED_JSON"}.get(str(options.get("format", "")).upper())
        format_ = format_ or str(options.get("format", "")).upper()
        compression = str(options.get("compression") or "NONE").upper()
        extract.check([uri], format_, compression)
        if compression == "ZSTD":
            raise invalid_query("Option 'compression' value must be one of GZIP, DEFLATE, SNAPPY.")
        if "*" not in uri:
            raise invalid_query("Option 'uri' value must be a wild card URI.")
        if not options.get("overwrite") and self._store.exists(uri):
            raise invalid(f"Invalid value: Destination {uri} is not empty. Set overwrite to true to overwrite files.")
        file_format = extract.FileFormat(
            format=format_,
            compression=compression,
            header=bool(options.get("header")),
            delimiter=str(options.get("field_delimiter") or ","),
            avro_logical_types=bool(options.get("use_avro_logical_types", True)),
        )
        stored, fields = ddl.materialize(statement.this, self._translation)
        try:
            with self._catalog.warehouse.cursor() as cursor:
                rows, size = cursor.execute(f"SELECT count(*), {logical_bytes(fields)} FROM {stored}").fetchall()[0]
                written = extract.Writer(cursor, stored, fields, file_format).write(
                    self._store, [uri], rows=rows, size=size, settings=self._catalog.settings, name="the query",
                    stopped=stopped,
                )  # fmt: skip
        finally:
            self._catalog.warehouse.drop([stored])
        return {"fileCount": str(sum(written.file_counts)), "rowCount": str(written.rows)}

    def _truncate(self, statement: exp.TruncateTable) -> None:
        table = self._translation.find(statement.expressions[0])

        def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
            cursor.execute(f"CREATE TABLE {name} AS FROM {table.current.name} WHERE false")

        self._catalog.new_version(table, build)

    def _change(self, statement: exp.Expression) -> int:
        """INSERT, UPDATE, DELETE or MERGE on a copy, which becomes the newest version."""
        target = statement.this
        if isinstance(target, exp.Schema):
            target = target.this
        table = self._translation.find(target)
        table.require_plain()
        self._translation.referenced.append(table)
        _prepare(statement, table)
        counted = [0]

        def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
            cursor.execute(f"CREATE TABLE {name} AS FROM {table.current.name}")
            sql = self._translation.to_duckdb(statement, target, name)
            counted[0] = int(cursor.execute(sql).fetchall()[0][0])
            if table.ingestion_time and isinstance(statement, (exp.Insert, exp.Merge)):
                hour = self._translation.now_ms // 3_600_000 * 3600
                arrived = f"{PARTITION_TIME} = to_timestamp({hour})"
                cursor.execute(f"UPDATE {name} SET {arrived} WHERE {PARTITION_TIME} IS NULL")

        self._catalog.new_version(table, build)
        return counted[0]

    def _read_external(self, table: Table) -> str:
        """Read the files of an external table into a stored table that lives as long as the job."""
        external = table.properties["externalDataConfiguration"]
        csv = external.get("csvOptions") or {}
        options = {**external, **csv, "skipLeadingRows": csv.get("skipLeadingRows") or 0}
        fields = table.fields or parse_fields((external.get("schema") or {}).get("fields") or ())
        name = self._catalog.warehouse.fresh_name()
        self._outside.append(name)
        with (
            self._catalog.warehouse.cursor() as cursor,
            load.Files.download(self._store, external["sourceUris"]) as files,
        ):
            found, select = load.reader(cursor, files.paths, options, fields)
            cursor.execute(f"CREATE TABLE {name} AS {select}")
        self._translation.source_fields.extend(found)
        return name


def _prepare(statement: exp.Expression, table: Table) -> None:
    """Name the columns of an INSERT, so that hidden ones stay out of it."""
    if isinstance(statement, exp.Insert) and isinstance(statement.this, exp.Table):
        names = [exp.to_identifier(item.name, quoted=True) for item in table.fields]
        statement.set("this", exp.Schema(this=statement.this, expressions=names))


def _type_of(statement: exp.Expression) -> str:
    if isinstance(statement, exp.Query):
        return "SELECT"
    known = {**DML, exp.Export: "EXPORT_DATA", exp.TruncateTable: "TRUNCATE_TABLE", exp.Alter: "ALTER_TABLE"}
    return str(known.get(type(statement)) or statement.key.upper())


def _export_options(statement: exp.Export) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in statement.args["options"].expressions:
        if isinstance(item, exp.FileFormatProperty):
            found["format"] = item.this.name
        else:
            value = item.args["value"]
            found[item.name.lower()] = bool(value.this) if isinstance(value, exp.Boolean) else value.name
    return found


def _billed(processed: int) -> str:
    """BigQuery bills at least 10 MB for a query that reads a table, in whole MB."""
    megabyte = 1 << 20
    return str(max(10 * megabyte, -(-processed // megabyte) * megabyte)) if processed else "0"


def _message(error: duckdb.Error) -> str:
    first = str(error).partition("\n")[0]
    if match := re.search(r'Referenced column "([^"]+)"', first):
        return f"Unrecognized name: {match[1]}"
    return first


def refuse_bad_query(configuration: dict[str, Any]) -> None:
    """Refuse a request that is no query at all."""
    if not (configuration.get("query") or {}).get("query"):
        raise BigQueryError("invalid", "Required parameter is missing: query")
