"""Read sessions: a table at one time, divided into streams of consecutive rows."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp

from bqdump_local.bigquery.errors import BigQueryError, invalid, not_found
from bqdump_local.bigquery.files.formats import logical_bytes
from bqdump_local.bigquery.sql import partition_filter, refusals
from bqdump_local.bigquery.sql.parsing import parse
from bqdump_local.bigquery.sql.translation import Translation
from bqdump_local.bigquery.storage_read import avro_rows
from bqdump_local.bigquery.storage_read.arrow import Codec, arrow_schema, batches, read_columns
from bqdump_local.bigquery.tables.tables import PARTITION_TIME, Table, Version
from bqdump_local.bigquery.types import Field

if TYPE_CHECKING:
    from arro3.core import RecordBatch, Schema

    from bqdump_local.bigquery.storage_read.avro_rows import AvroRows
    from bqdump_local.bigquery.tables.catalog import Catalog

SESSION_MS = 6 * 3600 * 1000
# https://cloud.google.com/bigquery/docs/reference/storage#create_a_session
MAX_STREAMS = 1000
JOB_STREAM = re.compile(r"projects/([^/]+)/locations/([^/]+)/jobs/([^/]+)/streams/_default")
TABLE = re.compile(r"projects/([^/]+)/datasets/([^/]+)/tables/([^/]+)")
RESTRICTION_BYTES = 1 << 20


@dataclass(frozen=True)
class SessionRequest:
    """A request for a session. snapshot_ms: None for now."""

    parent: str
    table: str
    snapshot_ms: int | None
    selected: tuple[str, ...]
    restriction: str
    max_streams: int
    min_streams: int
    codec: Codec | None
    avro: bool = False


@dataclass(frozen=True)
class Stream:
    """Consecutive rows of a session: `rows` rows from `first` on."""

    name: str
    first: int
    rows: int


@dataclass
class Session:
    """A session: the stored rows that it reads, and all streams that clients have received. avro: not Arrow."""

    name: str
    expires_ms: int
    relation: str
    fields: tuple[Field, ...]
    schema: Schema
    codec: Codec | None
    rows: int
    bytes: int
    avro: bool = False
    streams: list[Stream] = field(default_factory=list)


class Sessions:
    """All sessions of the server."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._streams: dict[str, tuple[Session, Stream]] = {}

    def create(self, request: SessionRequest) -> Session:
        """Create a session. Without rows it has no streams, as in BigQuery."""
        match = TABLE.fullmatch(request.table)
        if match is None:
            raise invalid(f"request failed: invalid table name {request.table!r}")
        project, access = request.parent.removeprefix("projects/"), self._catalog.access
        access.require(project, "bigquery.readsessions.create")
        table = self._catalog.table(*match.groups())
        access.require(table.project, "bigquery.tables.getData")
        if not table.has_rows:
            raise invalid("request failed: non-table entities cannot be read with the storage API")
        settings = self._catalog.settings
        now = settings.now_ms()
        version = table.current if request.snapshot_ms is None else table.version_at(request.snapshot_ms, now)
        hidden = (Field(PARTITION_TIME, "TIMESTAMP"),) if table.ingestion_time and request.selected else ()
        fields = select((*version.fields, *hidden), request.selected)
        relation, rows, size = self._rows(table, version, request.restriction, fields)
        name = f"projects/{project}/locations/{table.location.lower()}/sessions/{secrets.token_urlsafe(24)}"
        if request.avro:
            avro_rows.schema_of(fields)
        schema, ends = arrow_schema(fields), now + SESSION_MS
        session = Session(name, ends, relation, fields, schema, request.codec, rows, size, request.avro)
        count = min(rows, stream_count(size, settings.read_stream_bytes, request))
        with self._lock:
            self._sessions[name] = session
            for number in range(count):
                first, after = rows * number // count, rows * (number + 1) // count
                self._add(session, first, after - first)
        return session

    def find(self, name: str) -> tuple[Session, Stream]:
        """The stream of this name and its session."""
        stream = self._streams.get(name) or self._of_job(name)
        if stream is None:
            raise not_found("read stream", name)
        self._catalog.access.require(name.split("/")[1], "bigquery.readsessions.getData")
        if stream[0].expires_ms <= self._catalog.settings.now_ms():
            raise BigQueryError("failedPrecondition", f"request failed: session expired: {stream[0].name}")
        return stream

    def _of_job(self, name: str) -> tuple[Session, Stream] | None:
        """The default stream of a query, which has all its rows in order."""
        if (match := JOB_STREAM.fullmatch(name)) is None:
            return None
        project, location, job = match.groups()
        place = self._catalog.results.get((project, location.casefold(), job))
        if place is None:
            return None
        table = self._catalog.table(place["projectId"], place["datasetId"], place["tableId"])
        fields = table.fields
        with self._catalog.warehouse.cursor() as cursor:
            rows, size = table.current.measure(cursor)
        ends = self._catalog.settings.now_ms() + SESSION_MS
        session = Session(name, ends, table.current.name, fields, arrow_schema(fields), None, rows, size)
        return session, Stream(name, 0, rows)

    def split(self, name: str, fraction: float) -> tuple[Stream, Stream] | None:
        """Two streams with the stream's rows; None if one of them would have no rows. The stream itself stays valid."""
        session, stream = self.find(name)
        head = int(stream.rows * fraction)
        if not 0 < head < stream.rows:
            return None
        with self._lock:
            rest = self._add(session, stream.first + head, stream.rows - head)
            return self._add(session, stream.first, head), rest

    def read(self, name: str, offset: int, batch_bytes: int) -> Iterator[RecordBatch | AvroRows]:
        """The rows of a stream from this offset on, in batches of about `batch_bytes` bytes."""
        session, stream = self.find(name)
        if offset > stream.rows:
            # The service's answer, according to https://github.com/goccy/bigquery-emulator/issues/507
            raise BigQueryError("failedPrecondition", f"request failed: offset {offset} has not been allocated yet")
        left = stream.rows - offset
        if not left:
            return
        rows = max(1, batch_bytes * session.rows // max(1, session.bytes))
        source = f"{session.relation} LIMIT {left} OFFSET {stream.first + offset}"
        with self._catalog.warehouse.cursor() as cursor:
            if session.avro:
                yield from avro_rows.batches(cursor, source, session.fields, rows)
            else:
                query = cursor.sql(f"SELECT {read_columns(session.fields)} FROM {source}")
                yield from batches(query, session.fields, rows)

    def _add(self, session: Session, first: int, rows: int) -> Stream:
        stream = Stream(f"{session.name}/streams/{secrets.token_urlsafe(12)}", first, rows)
        session.streams.append(stream)
        self._streams[stream.name] = (session, stream)
        return stream

    def _rows(self, table: Table, version: Version, restriction: str, fields: Sequence[Field]) -> tuple[str, int, int]:
        """The stored table that the session reads, its number of rows, and their size in the selected columns."""
        relation = version.name
        if not restriction and (objection := partition_filter.objection(table, None)):
            raise invalid(f"request failed: Query error: {objection}")
        with self._catalog.warehouse.cursor() as cursor:
            if restriction:
                relation = self._catalog.warehouse.fresh_name()
                condition = self._condition(table, restriction)
                try:
                    cursor.execute(f"CREATE TABLE {relation} AS SELECT * FROM {version.name} WHERE {condition}")
                except duckdb.Error as error:
                    raise _refused(error) from error
            rows, size = cursor.execute(f"SELECT count(*), {logical_bytes(fields)} FROM {relation}").fetchall()[0]
        return relation, int(rows), int(size)

    def _condition(self, table: Table, restriction: str) -> str:
        if len(restriction.encode()) > RESTRICTION_BYTES:
            raise invalid(
                "read_session.read_options.row_restriction exceeded maximum allowed length. "
                f"Maximum bytes allowed: {RESTRICTION_BYTES}"
            )
        try:
            statements = parse(f"SELECT 1 FROM t WHERE {restriction}")
        except BigQueryError as error:
            raise invalid(f"request failed: Query error: {error.message}") from error
        where = statements[0].args.get("where")
        clauses = {name for name, value in statements[0].args.items() if value} - {"expressions", "from_", "where"}
        if len(statements) != 1 or where is None or clauses or where.find(exp.Query) is not None:
            raise invalid("request failed: Query error: the row restriction must be a single expression")
        if objection := partition_filter.objection(table, where.this):
            raise invalid(f"request failed: Query error: {objection}")
        if table.ingestion_time:
            for column in list(where.find_all(exp.Column)):
                if column.name.upper() == "_PARTITIONTIME":
                    column.replace(exp.column(PARTITION_TIME))
        translation = Translation(self._catalog, table.project, None, table.location, self._catalog.settings.now_ms())
        return translation.expression(where.this)


def select(fields: Sequence[Field], selected: Sequence[str]) -> tuple[Field, ...]:
    """The selected columns in the order of the table. `a.b` selects one member of a RECORD."""
    if not selected:
        return tuple(fields)
    inner: dict[str, list[str]] = {}
    for path in selected:
        head, _, rest = path.partition(".")
        inner.setdefault(head.lower(), []).append(rest)
    known = {item.name.lower() for item in fields}
    if unknown := [path for path in selected if path.partition(".")[0].lower() not in known]:
        raise invalid(f"request failed: The following selected fields do not exist in the table schema: {unknown[0]}")
    chosen = []
    for item in fields:
        paths = inner.get(item.name.lower())
        if paths is None:
            continue
        if "" not in paths:
            item = replace(item, fields=select(item.fields, paths))
        chosen.append(item)
    return tuple(chosen)


def stream_count(size: int, stream_bytes: int, request: SessionRequest) -> int:
    """The number of streams for a session of this size, within the requested limits."""
    if request.max_streams < 0 or request.min_streams < 0:
        raise invalid("request failed: the stream counts must not be negative")
    if request.max_streams and request.min_streams > request.max_streams:
        raise invalid("request failed: preferred_min_stream_count must not exceed max_stream_count")
    most = min(request.max_streams or MAX_STREAMS, MAX_STREAMS)
    return min(most, max(request.min_streams, -(-size // stream_bytes), 1))


def _refused(error: duckdb.Error) -> BigQueryError:
    answer = refusals.refusal(error)
    return BigQueryError(answer.reason, f"request failed: Query error: {answer.message}")
