"""Table clones and table snapshots."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import bigquery

from local.bigquery_server import PROJECT, Cloud, finish


@pytest.fixture
def table(world: Cloud) -> str:
    name = f"{world.dataset()}.t"
    world.sql(
        f"CREATE TABLE {name} (i INT64 OPTIONS(description='I'), d DATE) PARTITION BY d OPTIONS(labels=[('a','b')])"
    )
    world.sql(f"INSERT INTO {name} (i, d) VALUES (1, '2026-01-01'), (2, '2026-01-02')")
    return name


def copy(world: Cloud, source: str, target: str, operation: str, **options: Any) -> Any:
    config = bigquery.CopyJobConfig(operation_type=operation, **options)
    return finish(world.client.copy_table(f"{PROJECT}.{source}", f"{PROJECT}.{target}", job_config=config))


def rows(world: Cloud, table: str) -> list[int]:
    return [row[0] for row in world.sql(f"SELECT i FROM {table} ORDER BY i")]


@pytest.mark.parametrize("way", ["statement", "job"])
def test_a_snapshot_keeps_the_rows_and_refuses_changes(world: Cloud, table: str, way: str) -> None:
    snapshot = f"{table}_s"
    if way == "statement":
        world.sql(f"CREATE SNAPSHOT TABLE {snapshot} CLONE {table} OPTIONS(description='S')")
    else:
        copy(world, table, snapshot, "SNAPSHOT")
    world.sql(f"DELETE FROM {table} WHERE i = 1")
    assert (rows(world, table), rows(world, snapshot)) == ([2], [1, 2])
    found = world.client.get_table(snapshot)
    assert found.table_type == "SNAPSHOT"
    assert found.snapshot_definition.base_table_reference.table_id == "t"
    assert found.num_rows == 2
    assert [(one.table_id, one.table_type) for one in world.client.list_tables(table.partition(".")[0])] == [
        ("t", "TABLE"), ("t_s", "SNAPSHOT")
    ]  # fmt: skip
    with pytest.raises(BadRequest, match="currently a SNAPSHOT"):
        world.sql(f"DELETE FROM {snapshot} WHERE true")
    assert sorted(world.exported(snapshot).split()) == [b"1,2026-01-01", b"2,2026-01-02", b"i,d"]
    with pytest.raises(Conflict, match="Already Exists"):
        copy(world, table, snapshot, "SNAPSHOT")


def test_a_snapshot_is_restored_as_a_table(world: Cloud, table: str) -> None:
    copy(world, table, f"{table}_s", "SNAPSHOT")
    copy(world, f"{table}_s", f"{table}_r", "RESTORE")
    world.sql(f"INSERT INTO {table}_r (i) VALUES (3)")
    assert rows(world, f"{table}_r") == [1, 2, 3]
    assert world.client.get_table(f"{table}_r").table_type == "TABLE"
    world.sql(f"CREATE TABLE {table}_c CLONE {table}_s")
    assert rows(world, f"{table}_c") == [1, 2]
    with pytest.raises(BadRequest, match="only a SNAPSHOT can be restored"):
        copy(world, table, f"{table}_x", "RESTORE")


def test_a_snapshot_can_show_an_earlier_time(world: Cloud, table: str) -> None:
    then = world.sql("SELECT CURRENT_TIMESTAMP()")[0][0]
    world.sql(f"DELETE FROM {table} WHERE i = 1")
    world.sql(f"CREATE SNAPSHOT TABLE {table}_s CLONE {table} FOR SYSTEM_TIME AS OF TIMESTAMP '{then.isoformat()}'")
    assert rows(world, f"{table}_s") == [1, 2]
    world.sql(f"CREATE OR REPLACE SNAPSHOT TABLE {table}_s CLONE {table}")
    assert rows(world, f"{table}_s") == [2]


def test_a_snapshot_expires(world: Cloud, table: str) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    copy(world, table, f"{table}_s", "SNAPSHOT", destination_expiration_time=later.isoformat())
    with world.clock(3 * 3600), pytest.raises(NotFound, match=r"Not found: Table .*_s$"):
        world.client.get_table(f"{table}_s")


@pytest.mark.parametrize("way", ["statement", "job"])
def test_a_clone_is_a_table_of_its_own(world: Cloud, table: str, way: str) -> None:
    clone = f"{table}_c"
    if way == "statement":
        world.sql(f"CREATE TABLE {clone} CLONE {table}")
    else:
        copy(world, table, clone, "CLONE")
    world.sql(f"DELETE FROM {clone} WHERE i = 1")
    assert (rows(world, table), rows(world, clone)) == ([1, 2], [2])
    found = world.client.get_table(clone).to_api_repr()
    assert found["type"] == "TABLE"
    assert found["cloneDefinition"]["baseTableReference"]["tableId"] == "t"
    assert found["schema"]["fields"][0]["description"] == "I"
    assert (found["timePartitioning"]["field"], found["labels"]) == ("d", {"a": "b"})


def test_a_snapshot_is_dropped_by_its_own_statement(world: Cloud, table: str) -> None:
    world.sql(f"CREATE SNAPSHOT TABLE {table}_s CLONE {table}")
    with pytest.raises(BadRequest, match="is a SNAPSHOT"):
        world.sql(f"DROP TABLE {table}_s")
    with pytest.raises(BadRequest, match="is a TABLE"):
        world.sql(f"DROP SNAPSHOT TABLE {table}")
    world.sql(f"DROP SNAPSHOT TABLE {table}_s")
    world.sql(f"DROP SNAPSHOT TABLE IF EXISTS {table}_s")
    with pytest.raises(NotFound):
        world.sql(f"DROP SNAPSHOT TABLE {table}_s")
