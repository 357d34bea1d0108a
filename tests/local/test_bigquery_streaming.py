"""Streamed rows: values, invalid rows, and ids."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import bigquery

from local.bigquery_server import PROJECT, Cloud


@pytest.fixture
def table(world: Cloud) -> str:
    return f"{PROJECT}.{world.dataset()}.t"


def create(world: Cloud, table: str, *columns: str) -> None:
    world.client.create_table(bigquery.Table(table, [bigquery.SchemaField(*one.split()) for one in columns]))


def rows(world: Cloud, table: str) -> list[tuple[Any, ...]]:
    return world.sql(f"SELECT * FROM `{table}` ORDER BY 1")


@pytest.mark.parametrize("value", ['{"a": [1, "x"]}', {"a": [1, "x"]}])
def test_a_json_column_takes_json_as_a_string_or_as_it_is(world: Cloud, table: str, value: Any) -> None:
    create(world, table, "i INT64", "j JSON")
    assert world.client.insert_rows_json(table, [{"i": 1, "j": value}, {"i": 2, "j": '"text"'}, {"i": 3}]) == []
    assert rows(world, table) == [(1, {"a": [1, "x"]}), (2, "text"), (3, None)]


@pytest.mark.parametrize(
    ("row", "location"),
    [({"i": "x"}, ""), ({"i": 1, "z": 1}, "z"), ({"i": 1, "j": "{not json"}, "j"), ({"j": "1"}, ""),
     ({"i": 1, "s": "long"}, "")],
)  # fmt: skip
def test_an_invalid_row_stops_the_others_unless_it_is_skipped(
    world: Cloud, table: str, row: dict[str, Any], location: str
) -> None:
    world.sql(f"CREATE TABLE `{table}` (i INT64 NOT NULL, j JSON, s STRING(3))")
    given = [{"i": 7}, row]
    errors = world.client.insert_rows_json(table, given)
    assert [(one["index"], one["errors"][0]["reason"]) for one in errors] == [(0, "stopped"), (1, "invalid")]
    assert errors[1]["errors"][0]["location"] == location
    assert rows(world, table) == []
    (error,) = world.client.insert_rows_json(table, given, skip_invalid_rows=True)
    assert error["index"] == 1
    assert [row[0] for row in rows(world, table)] == [7]


def test_unknown_columns_can_be_ignored(world: Cloud, table: str) -> None:
    create(world, table, "i INT64")
    assert world.client.insert_rows_json(table, [{"i": 1, "z": 2}], ignore_unknown_values=True) == []
    assert rows(world, table) == [(1,)]


def test_a_row_sent_again_with_its_id_is_there_once(world: Cloud, table: str) -> None:
    create(world, table, "i INT64")
    for _ in range(2):
        assert world.client.insert_rows_json(table, [{"i": 1}, {"i": 2}], row_ids=["a", "b"]) == []
    assert world.client.insert_rows_json(table, [{"i": 1}], row_ids=[None]) == []
    assert rows(world, table) == [(1,), (1,), (2,)]


def test_a_number_is_an_insert_id_as_googles_own_tests_send_it(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64)")
    for _ in range(2):
        assert world.client.insert_rows_json(f"{name}.t", [{"a": 1}, {"a": 2}], row_ids=[0, 1]) == []
    assert world.client.get_table(f"{name}.t").streaming_buffer.estimated_rows == 2
