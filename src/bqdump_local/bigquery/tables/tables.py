"""A table: its properties, its versions in time, and its streaming buffer."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from bqdump_local.bigquery.errors import BigQueryError, invalid
from bqdump_local.bigquery.files.formats import logical_bytes
from bqdump_local.bigquery.types import Field, columns, literal, parse_fields

if TYPE_CHECKING:
    import duckdb

    from bqdump_local.bigquery.tables.warehouse import Warehouse

WEEK_MS = 7 * 24 * 3600 * 1000
PARTITION_TIME = "_PARTITIONTIME"
# https://cloud.google.com/bigquery/docs/tables#table_naming
NAME_CATEGORIES = ("L", "M", "N", "Pc", "Pd", "Zs")
LONGEST_NAME_BYTES = 1024
# Characters that separate names from each other and from decorators.
SEPARATORS = frozenset("`$@.:/\\")
# The properties that a request can set; all others are the server's.
SETTABLE = (
    *("schema", "timePartitioning", "rangePartitioning", "clustering", "requirePartitionFilter", "tableConstraints"),
    *("labels", "description", "friendlyName", "resourceTags", "expirationTime", "encryptionConfiguration"),
    *("view", "materializedView", "externalDataConfiguration", "biglakeConfiguration", "managedTableType"),
    *("defaultCollation", "defaultRoundingMode", "maxStaleness", "externalCatalogTableOptions"),
)


def check_name(table_id: str, *, any_name: bool) -> None:
    """Refuse an invalid table ID. any_name: accept names that BigQuery refuses, where possible."""
    allowed = all(unicodedata.category(character).startswith(NAME_CATEGORIES) for character in table_id)
    allowed = allowed and len(table_id.encode()) <= LONGEST_NAME_BYTES
    if not table_id or SEPARATORS & set(table_id) or not (allowed or any_name):
        raise invalid(f'Invalid table ID "{table_id}".')


@dataclass
class Version:
    """The rows of a table from a time on, until the next version."""

    at_ms: int
    name: str
    fields: tuple[Field, ...]
    rows: int | None = None
    bytes: int | None = None
    # See `partitions`: the expression for the partition of a row, and the partitions by id.
    partitions: tuple[str, dict[str, Any]] | None = field(default=None, repr=False, compare=False)
    # When partitions were last modified before older versions were removed, by id.
    times: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def measure(self, cursor: duckdb.DuckDBPyConnection) -> tuple[int, int]:
        """The number of rows and logical bytes, which are computed once."""
        if self.rows is None or self.bytes is None:
            counted = cursor.execute(f"SELECT count(*), {logical_bytes(self.fields)} FROM {self.name}").fetchall()[0]
            self.rows, self.bytes = int(counted[0]), int(counted[1])
        return self.rows, self.bytes


@dataclass
class Buffer:
    """Streamed rows that are not in the table yet."""

    name: str
    since_ms: int
    rows: int = 0
    bytes: int = 0


@dataclass
class Table:
    """A table, view, materialized view or external table, or an object of another kind."""

    project: str
    dataset: str
    table_id: str
    location: str
    properties: dict[str, Any]
    created_ms: int
    modified_ms: int
    versions: list[Version] = field(default_factory=list)
    buffer: Buffer | None = None
    policies: list[dict[str, Any]] = field(default_factory=list)
    indexes: dict[str, dict[str, str]] = field(default_factory=dict)
    other_kind: str = ""
    # Of a clone or a snapshot: `{"kind": "CLONE" or "SNAPSHOT", "table": reference, "at_ms": time}`.
    base: dict[str, Any] | None = None
    watermark_ms: int | None = None
    inserted: set[str] = field(default_factory=set, repr=False, compare=False)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    @property
    def name(self) -> str:
        """`project:dataset.table`, as in messages."""
        return f"{self.project}:{self.dataset}.{self.table_id}"

    @property
    def kind(self) -> str:
        """TABLE, SNAPSHOT, VIEW, MATERIALIZED_VIEW or EXTERNAL, unless a control request has set another kind."""
        if self.other_kind:
            return self.other_kind
        if "view" in self.properties:
            return "VIEW"
        if "materializedView" in self.properties:
            return "MATERIALIZED_VIEW"
        if self.base is not None and self.base["kind"] == "SNAPSHOT":
            return "SNAPSHOT"
        return "EXTERNAL" if "externalDataConfiguration" in self.properties else "TABLE"

    @property
    def view_query(self) -> str | None:
        """The SQL of a view or materialized view."""
        view = self.properties.get("view") or self.properties.get("materializedView")
        return None if view is None else str(view.get("query", ""))

    @property
    def fields(self) -> tuple[Field, ...]:
        """The current columns."""
        return parse_fields((self.properties.get("schema") or {}).get("fields") or ())

    @property
    def masked(self) -> bool:
        """Whether a column has a data policy, which masks nothing here."""
        columns = (self.properties.get("schema") or {}).get("fields") or ()
        return any(column.get("dataPolicies") for column in columns)

    @property
    def ingestion_time(self) -> bool:
        """Whether it is partitioned by ingestion time."""
        partitioning = self.properties.get("timePartitioning")
        return partitioning is not None and not partitioning.get("field")

    def partition_of(self, time: str) -> str:
        """The SQL expression for the start of the partition by ingestion time in which a time is."""
        return partition_start(self.properties["timePartitioning"], time)

    @property
    def current(self) -> Version:
        """The newest version."""
        return self.versions[-1]

    def version_at(self, ms: int, now_ms: int) -> Version:
        """The version at a time within the time travel window."""
        oldest = max(self.created_ms, now_ms - WEEK_MS)
        if ms < oldest:
            raise invalid(f"Invalid snapshot time {ms} for table {self.name}@{ms}. Cannot read before {oldest}.")
        if ms > now_ms:
            raise invalid(f"Invalid snapshot time {ms} for table {self.name}@{ms}. It is in the future.")
        return next((v for v in reversed(self.versions) if v.at_ms <= ms), self.versions[0])

    @property
    def stored(self) -> list[str]:
        """The names of its stored tables, which nothing else uses."""
        return [*(version.name for version in self.versions), *([self.buffer.name] if self.buffer else [])]

    @property
    def has_rows(self) -> bool:
        """Whether it stores rows."""
        return self.kind in ("TABLE", "SNAPSHOT") and bool(self.versions)

    def require_rows(self) -> None:
        """Refuse to read the stored rows of anything but a table or a snapshot."""
        if not self.has_rows:
            self._refuse()

    def require_plain(self) -> None:
        """Refuse to change the rows of anything but a table."""
        if self.kind != "TABLE":
            self._refuse()

    def _refuse(self) -> NoReturn:
        raise BigQueryError(
            "invalid", f"{self.name} is not allowed for this operation because it is currently a {self.kind}."
        )

    def to_document(self) -> dict[str, Any]:
        """The complete table as JSON."""
        return {
            "project": self.project,
            "dataset": self.dataset,
            "table_id": self.table_id,
            "location": self.location,
            "properties": self.properties,
            "created_ms": self.created_ms,
            "modified_ms": self.modified_ms,
            "versions": [
                {"at_ms": v.at_ms, "name": v.name, "fields": [f.to_json() for f in v.fields], "times": v.times}
                for v in self.versions
            ],
            "buffer": None if self.buffer is None else vars(self.buffer),
            "policies": self.policies,
            "indexes": self.indexes,
            "other_kind": self.other_kind,
            "watermark_ms": self.watermark_ms,
            "base": self.base,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Table:
        """The reverse of `to_document`."""
        versions = [
            Version(v["at_ms"], v["name"], parse_fields(v["fields"]), times=v.get("times", {}))
            for v in document["versions"]
        ]
        buffer = Buffer(**document["buffer"]) if document["buffer"] else None
        return cls(**{**document, "versions": versions, "buffer": buffer})


def partition_start(partitioning: dict[str, Any], time: str) -> str:
    """The SQL expression for the start of the partition in which a time, an SQL expression, is."""
    return f"date_trunc({literal(partitioning['type'].lower())}, {time})"


def stored_columns(table: Table, fields: tuple[Field, ...]) -> str:
    """The columns in DuckDB, with the hidden arrival time."""
    hidden = [f"{PARTITION_TIME} TIMESTAMPTZ"] if table.ingestion_time else []
    return ", ".join([*([columns(fields)] if fields else []), *hidden]) or '"_empty" BOOLEAN'


@contextmanager
def reshaped(warehouse: Warehouse, table: Table, selected: str) -> Iterator[Callable[[], None]]:
    """Copy streamed rows to other columns. Yields what puts the copy in place, which need not be called."""
    if (buffer := table.buffer) is None:
        yield lambda: None
        return
    old, name = buffer.name, warehouse.fresh_name()
    with warehouse.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} AS SELECT {selected} FROM {old}")

    def place() -> None:
        buffer.name = name

    try:
        yield place
    finally:
        warehouse.drop([old if buffer.name == name else name])
