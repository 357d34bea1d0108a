"""Routes: the three ways to export a table, what each can do, and which one a table takes.

extract: a free server-side job. query: EXPORT DATA, a server-side job that bills the bytes it reads.
read: the Storage Read API, through this process.
Sources: https://cloud.google.com/bigquery/docs/exporting-data,
https://cloud.google.com/bigquery/docs/reference/standard-sql/export-statements
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.documents.document import ReadAt
from bqdump.core.documents.run import Skipped
from bqdump.core.documents.unchanged import Reading
from bqdump.core.errors import PLAN, UsageError
from bqdump.core.formats.formats import FORMATS, codecs
from bqdump.core.formats.types import columns
from bqdump.core.plan.hidden_data import serves_stale
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.table_settings import TableSettings, check_columns, sections_of, shape_of
from bqdump.core.settings.target import BUCKET
from bqdump.core.settings.values import ROUTES
from bqdump.core.tables.catalog import EXTRACTABLE, KIND_WORDS, WHOLE, Shape, Table, is_iceberg, state_of, unknown_kind
from bqdump.core.tables.columns import as_they_are, fitted
from bqdump.core.tables.partitioning import column_name, has_partition_times
from bqdump.core.tables.patterns import NO_LABELS, Labels, labels_in

# Time travel does not cover views and external tables.
WITHOUT_PAST = ("VIEW", "MATERIALIZED_VIEW", "EXTERNAL")
CAPTURED = "change data capture: only a query has all changes"
AT_JOB_TIME = "read when its job runs, not at the snapshot time"


class Requirements(NamedTuple):
    """What the settings require of one table: a route or "auto", its file format, and the part that is exported.

    ours: a requirement that only the read route meets, in words.
    captured: changes are streamed into the table (change data capture), and the export must include those that are not
        applied yet.
    usual: the compression is that of all tables; none is set for this one.
    """

    route: str = "auto"
    format: str = "csv"
    compression: str = "none"
    shape: Shape = WHOLE
    ours: str = ""
    captured: bool = False
    usual: bool = False


class Choice(NamedTuple):
    """A route and the reason for it."""

    route: str
    why: str


class RoutedPartition(NamedTuple):
    """A partition of a table that is exported by itself.

    rows, bytes: by a listing of the partitions.
    look: the reading of the partition from before the snapshot time, None if none proves anything.
    why: the reason for its route, where that is not the table's.
    """

    id: str
    rows: int
    bytes: int
    route: str
    look: Reading | None = None
    why: str = ""
    bills: int | None = None


class Routed(msgspec.Struct, frozen=True):
    """A table with its route, its file format and the part that is exported.

    read_at: "snapshot" if it is read at the snapshot time, "job" if when its job runs.
    partitions: what is exported by itself, () for the complete table.
    rows_at: the rows of the table at the snapshot time, where they were counted.
    bills: bytes that its query bills by a dry run; with bills_at_least BigQuery's estimate is a lower bound.
    look, look_before, changed_at, reason: see TablePlan.
    """

    table: Table
    route: str
    why: str
    format: str
    compression: str
    shape: Shape = WHOLE
    read_at: ReadAt = "snapshot"
    bills: int | None = None
    bills_at_least: bool = False
    look: Reading | None = None
    look_before: Reading | None = None
    changed_at: int = 0
    reason: str = ""
    partitions: tuple[RoutedPartition, ...] = ()
    rows_at: int | None = None


class Routing(msgspec.Struct, frozen=True):
    """The tables of a dataset that are exported, each with its route, and those that no route can read."""

    routed: tuple[Routed, ...]
    skipped: tuple[Skipped, ...] = ()


def obstacle(route: str, table: Table, required: Requirements) -> str:
    """Why a route does not meet the requirements of this table; "" where it does."""
    kind = "an Iceberg table" if is_iceberg(table.definition) else KIND_WORDS.get(table.kind, "")
    if route == "extract":
        if kind:
            return f"{kind}: extract jobs read tables only"
        if required.shape.partition_times:
            return "partition times are exported: extract jobs have no pseudo-columns"
        if required.shape.words:
            return f"{required.shape.words}: extract jobs export complete tables"
    if required.compression not in codecs(route, required.format):
        return f"EXPORT DATA cannot write {required.format} with {required.compression}"
    if route == "read":
        return _read_obstacle(table, required)
    return f"{required.ours}: only the read route can do that" if required.ours else ""


def _read_obstacle(table: Table, required: Requirements) -> str:
    if kind := KIND_WORDS.get(table.kind, ""):
        return f"{kind}: the Storage Read API reads tables only"
    if required.shape.masks or required.shape.texts:
        changed = "columns are masked" if required.shape.masks else "columns become text"
        return f"{changed}: the Storage Read API computes nothing"
    return ""


def choose_route(table: Table, required: Requirements) -> Choice:
    """The route that the settings name, else the first that can export the table: extract (free), query, read.

    Raises UsageError where the route cannot export the table. The hint names a route that can.
    """
    obstacles = {route: obstacle(route, table, required) for route in ROUTES}
    able = [route for route, reason in obstacles.items() if not reason]
    if required.captured and required.route == "auto" and "query" in able:
        return Choice("query", CAPTURED)
    if required.route != "auto":
        if reason := obstacles[required.route]:
            cause = f"the {required.route} route cannot export it ({reason})"
            raise UsageError(PLAN, f"table {table.name}", cause, _hint(table.name, able))
        return Choice(required.route, "asked for")
    if not able:
        reasons = "; ".join(f"{route}: {reason}" for route, reason in obstacles.items())
        less = "Change its settings"
        if required.compression not in (known := codecs("query", required.format)):
            less = f'Set compression = "{known[-1]}" in [tables."{table.name}"]'
        cause = f"no route can export it as asked ({reasons})"
        raise UsageError(PLAN, f"table {table.name}", cause, f"{less}, or leave it out with {{setting:exclude}}.")
    return Choice(able[0], obstacles["extract"] or "a free extract job can do it")


def writable(table: Table, required: Requirements) -> Requirements:
    """The requirements, with another codec where only a query can export the table, and cannot write the usual one."""
    able = [route for route in ROUTES if not obstacle(route, table, required)]
    if required.route != "auto" or not required.usual or (able and not required.captured) or "query" in able:
        return required
    other = required._replace(compression=codecs("query", required.format)[-1])
    return required if obstacle("query", table, other) else other


def read_at_of(table: Table, route: str, *, captured: bool) -> ReadAt:
    """Whether BigQuery can read the table as it was at the snapshot time.

    A query applies streamed changes that are not applied yet when it runs. That it also does so for an earlier time
    is not documented.
    """
    return "job" if table.kind in WITHOUT_PAST or (captured and route == "query") else "snapshot"


def requirements_of(settings: Settings, table: Table) -> Requirements:
    """What the settings require of a table.

    The last section that matches it determines its route, format and compression. Raises UsageError as shape_of does.
    """
    name, labels = table.name, labels_in(table.definition) if settings.tables else {}
    sections = sections_of(settings.tables, name, labels)
    own = [section.route for section in sections if section.route]
    format_ = next((section.format for section in reversed(sections) if section.format), settings.format)
    own_codecs = [section.compression for section in sections if section.compression]
    # Another format may not support the compression of the other tables.
    usual = settings.compression if settings.compression in FORMATS[format_].codecs else "none"
    compression = own_codecs[-1] if own_codecs else usual
    if compression not in FORMATS[format_].codecs:
        cause, codecs_ = f"{compression!r} is not a codec of {format_}", ", ".join(FORMATS[format_].codecs)
        raise UsageError(PLAN, f"table {name}", cause, f"{format_} takes {codecs_}.")
    shape = shape_of(sections, name, columns(table.definition))
    if _with_partition_times(settings, sections, table):
        shape = msgspec.structs.replace(shape, partition_times=column_name(columns(table.definition)))
    ours = _ours(settings, format_)
    return Requirements((settings.route, *own)[-1], format_, compression, shape, ours=ours, usual=not own_codecs)


def _with_partition_times(settings: Settings, sections: Sequence[TableSettings], table: Table) -> bool:
    """Whether the partition times of a table are exported; the last section that says so decides.

    Raises UsageError where a section of this very table requires partition times that it does not have.
    """
    deciding = next((section for section in reversed(sections) if section.partition_times is not None), None)
    if not (deciding.partition_times if deciding else settings.partition_times):
        return False
    if table.kind in EXTRACTABLE and has_partition_times(table.definition):
        return True
    if deciding and deciding.exact and columns(table.definition):
        cause = "partition_times is set, and it is not partitioned by ingestion time"
        raise UsageError(PLAN, f"table {table.name}", cause, f"Remove partition_times from [tables.{deciding.name}].")
    return False


def asks_for_reads(settings: Settings) -> bool:
    """Whether the settings name the read route, or require what only that route can do."""
    named = {settings.route} | {section.route for section in settings.tables}
    formats = {settings.format} | {section.format for section in settings.tables}
    return "read" in named or any(_ours(settings, format_) for format_ in formats)


def _ours(settings: Settings, format_: str) -> str:
    """A requirement of the settings that only the read route meets, in words; "" for none."""
    required = {
        "files go to a folder": settings.target.scheme != BUCKET,
        "file_size is set": settings.file_size,
        "null_marker is set": format_ == "csv" and settings.null_marker,
        "row_group_rows is set": format_ == "parquet" and settings.row_group_rows,
    }
    return next((words for words, value in required.items() if value), "")


def route_tables(
    settings: Settings,
    tables: Sequence[Table],
    unchosen: Sequence[str] = (),
    captured: Collection[str] = (),
    labels: Labels = NO_LABELS,
) -> Routing:
    """The route of every table. captured: those into which changes are streamed.

    unchosen: tables of the dataset that are not exported; settings may still name them, or their `labels`.
    Raises UsageError for a route that cannot export its table.
    """
    if settings.tables:
        own = {table.name: labels_in(table.definition) for table in tables}
        known = {table.name: columns(table.definition) for table in tables}
        check_columns(settings.tables, known, unchosen, {**labels, **own})
    routed, skipped = [], []
    for table in tables:
        if reason := unknown_kind(table.kind):
            skipped.append(Skipped(table.name, table.kind, reason))
            continue
        if _is_bare(table):
            skipped.append(Skipped(table.name, table.kind, "it has no columns, and so no rows", asked=True))
            continue
        required = _fitted(settings, table)
        if required is None:
            reason = f"{requirements_of(settings, table).format} can hold none of its columns"
            skipped.append(Skipped(table.name, table.kind, reason, asked=True))
            continue
        streamed = table.name in captured
        # Where the risk is allowed, a free extract is enough. A query that may lack changes too does not help.
        needs_query = streamed and Risk.UNAPPLIED_CHANGES not in settings.allow and not serves_stale(table.definition)
        required = required._replace(captured=needs_query)
        fitting = writable(table, required)
        route, why = choose_route(table, fitting)
        if fitting != required:
            why = f"{why}; {fitting.compression}, as EXPORT DATA cannot write {required.compression}"
        read_at = read_at_of(table, route, captured=streamed)
        why = f"{why}; {AT_JOB_TIME}" if read_at == "job" else why
        routed.append(Routed(table, route, why, fitting.format, fitting.compression, fitting.shape, read_at))
    return Routing(tuple(routed), tuple(skipped))


def _is_bare(table: Table) -> bool:
    """Whether a table has no columns yet: no job can export it, and there is nothing in it."""
    return (
        table.kind == "TABLE" and not table.rows and bool(state_of(table.definition)) and not columns(table.definition)
    )


def _fitted(settings: Settings, table: Table) -> Requirements | None:
    """What is required of a table, with columns that do not fit left out or as strings; None where none fits."""
    required = requirements_of(settings, table)
    if settings.on_unsupported == "fail":
        return required
    all_of_it = columns(table.definition)
    route = "read" if required.route == "read" or required.ours else "query"
    policy = settings.on_unsupported
    shape = fitted(policy, required.format, route, all_of_it, required.shape, iceberg=settings.iceberg)
    if shape.left_out and not as_they_are(all_of_it, shape) and not shape.masks:
        return None
    return required._replace(shape=shape)


def _hint(table: str, able: list[str]) -> str:
    if not able:
        return "No other route can: leave it out with {setting:exclude}."
    return f'Set route = "{able[0]}" in [tables."{table}"], or leave it out with {{setting:exclude}}.'
