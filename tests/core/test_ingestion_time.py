"""Ingestion-time partitioned tables: their partition times in a column of the files."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import msgspec
import pytest
import sqlglot
from sqlglot import exp

from bqdump.core.errors import UsageError
from bqdump.core.formats.formats import FORMATS, unfit
from bqdump.core.formats.types import columns
from bqdump.core.plan.routes import Routed, route_tables
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.table_settings import parse_tables, tables_text
from bqdump.core.sql.statements import select_part
from bqdump.core.tables.catalog import Dataset, Mask, Shape, Table
from bqdump.core.tables.columns import exported
from bqdump.core.tables.partitioning import COLUMN, partition_times
from core.strategies import settings

DATASET = Dataset("p", "d", "EU")
TIMES = f"`_PARTITIONTIME` AS `{COLUMN}`"
# https://cloud.google.com/bigquery/docs/schemas#column_names
DELETED = Table("events", "TABLE", 1, 1, msgspec.Raw(b"null"))
RESERVED = ("_colidentifier", "_file_", "_partition", "_row_timestamp", "_table_", "__root__")


def events(*names: str, kind: str = "TABLE", field: str = "", **definition: Any) -> Table:
    fields = [{"name": name, "type": "STRING"} for name in names or ("id", "note")]
    by = {"type": "DAY", **({"field": field} if field else {})}
    made = {"schema": {"fields": fields}, "timePartitioning": by, **definition}
    return Table("events", kind, 10, 10, msgspec.Raw(json.dumps(made).encode()))


def routed(table: Table, chosen: Settings) -> Routed:
    (one,) = route_tables(chosen, [table]).routed
    return one


def sections(toml: str, **others: Any) -> Settings:
    return settings(tables=parse_tables(tomllib.loads(toml)["tables"]), **others)


def query(table: Table, chosen: Settings) -> str:
    return select_part(DATASET, "events", 7, table.definition, routed(table, chosen).shape)


def test_a_query_selects_the_partition_times_after_all_columns() -> None:
    one = routed(events(), settings(partition_times=True))
    assert (one.route, one.read_at) == ("query", "snapshot")
    assert "extract jobs have no pseudo-columns" in one.why
    text = query(events(), settings(partition_times=True))
    assert text == f"SELECT *, {TIMES} FROM `p`.`d`.`events` FOR SYSTEM_TIME AS OF TIMESTAMP_MILLIS(7)"
    assert [column.name for column in exported(columns(events().definition), one.shape)] == ["id", "note", COLUMN]


def test_a_required_partition_filter_stays() -> None:
    text = query(events(requirePartitionFilter=True), settings(partition_times=True))
    assert text.startswith(f"SELECT *, {TIMES} FROM")
    assert "(`_PARTITIONTIME` IS NULL OR `_PARTITIONTIME` IS NOT NULL)" in text


def test_chosen_and_masked_columns_come_before_the_partition_times() -> None:
    chosen = sections('[tables.events]\ncolumns = ["note", "id"]\nmasks = {id = "null"}\npartition_times = true')
    assert f"SELECT `note`, CAST(NULL AS STRING) AS `id`, {TIMES} FROM" in query(events(), chosen)
    shape = routed(events(), chosen).shape
    assert shape == Shape(("note", "id"), {"id": Mask(null=True)}, partition_times=COLUMN)
    held = exported(columns(events().definition), shape)
    assert [(column.name, column.type) for column in held] == [("note", "STRING"), ("id", ""), (COLUMN, "TIMESTAMP")]


@pytest.mark.parametrize(
    "table",
    [events(field="id"), events(kind="VIEW"), events(kind="EXTERNAL"), DELETED],
    ids=["by a column", "a view", "an external table", "deleted"],
)
def test_objects_without_partition_times_are_exported_as_always(table: Table) -> None:
    assert routed(table, settings(partition_times=True)) == routed(table, settings())


@pytest.mark.parametrize("kind", ["TABLE", "SNAPSHOT"])
@pytest.mark.parametrize("unit", ["HOUR", "DAY", "MONTH", "YEAR"])
def test_tables_and_snapshots_of_every_granularity_have_them(kind: str, unit: str) -> None:
    table = events(kind=kind, timePartitioning={"type": unit})
    assert routed(table, settings(partition_times=True)).shape.partition_times == COLUMN


def test_the_last_section_with_a_value_decides() -> None:
    toml = '[tables."ev*"]\npartition_times = true\n[tables.events]\npartition_times = false'
    assert routed(events(), sections(toml)).route == "extract"
    toml = '[tables.events]\npartition_times = true\n[tables."*"]\nformat = "json"'
    assert routed(events(), sections(toml)).route == "query"
    toml = "[tables.events]\npartition_times = false"
    assert routed(events(), sections(toml, partition_times=True)).route == "extract"


def test_sections_are_written_as_they_are_read() -> None:
    own = {"partition_times": False, "partitions_min_bytes": "1GB"}
    read = parse_tables({"a": {"partition_times": True, "partitions_min_bytes": 0}, "b": own, "c": {}})
    assert [section.partition_times for section in read] == [True, False, None]
    assert [section.partitions_min_bytes for section in read] == [0, 10**9, None]
    assert parse_tables(tables_text(read)) == read
    with pytest.raises(ValueError, match=r"tables.a.partition_times: expected true or false"):
        parse_tables({"a": {"partition_times": "yes"}})


def test_a_section_of_one_table_that_has_none_is_refused() -> None:
    toml = "[tables.events]\npartition_times = true"
    with pytest.raises(UsageError, match=r"table events: partition_times is set, and it is not partitioned by ingest"):
        routed(events(field="id"), sections(toml))
    assert routed(events(field="id"), sections(toml.replace("events", '"e*"'))).route == "extract"


@pytest.mark.parametrize("requested", [{"route": "read"}, {"file_size": 10**6}])
def test_the_read_route_has_them_where_it_is_requested_or_needed(requested: dict[str, Any]) -> None:
    one = routed(events(), settings(partition_times=True, **requested))
    assert (one.route, one.shape.partition_times) == ("read", COLUMN)


def test_the_extract_route_is_refused_with_one_that_can() -> None:
    refused = r'partition times are exported: .* Set route = "query" in \[tables."events"'
    with pytest.raises(UsageError, match=refused):
        routed(events(), settings(partition_times=True, route="extract"))


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (("id",), COLUMN),
        ((COLUMN,), f"{COLUMN}_"),
        ((COLUMN.upper(), f"{COLUMN}_"), f"{COLUMN}__"),
        (("_PARTITIONTIME_",), COLUMN),
    ],
)
def test_the_column_has_a_name_that_is_free_in_any_case(names: tuple[str, ...], name: str) -> None:
    shape = routed(events(*names), settings(partition_times=True)).shape
    assert shape.partition_times == name
    (statement,) = sqlglot.parse(query(events(*names), settings(partition_times=True)), read="bigquery")
    assert statement is not None
    assert [item.alias for item in statement.find_all(exp.Alias)] == [name]


def test_bigquery_and_every_format_take_the_column() -> None:
    assert not COLUMN.lower().startswith(RESERVED)
    assert all(not unfit(format_, "query", [partition_times(COLUMN)]) for format_ in FORMATS)
