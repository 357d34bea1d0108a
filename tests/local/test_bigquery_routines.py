"""Routines, models and indexes of the stand-in, through Google's client and its statements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, NotFound
from google.cloud import bigquery

from deploy.discovery import check
from local.bigquery_server import PROJECT, Cloud, serve_world


def routine(world: Cloud, dataset: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = world.client.get_routine(f"{PROJECT}.{dataset}.{name}").to_api_repr()
    return found


def test_the_api_stores_a_routine_completely(world: Cloud) -> None:
    name = world.dataset()
    made = bigquery.Routine(
        f"{PROJECT}.{name}.twice",
        type_="SCALAR_FUNCTION",
        language="SQL",
        body="x * 2",
        arguments=[
            bigquery.RoutineArgument(
                name="x", data_type=bigquery.StandardSqlDataType(bigquery.StandardSqlTypeNames.INT64)
            )
        ],
        description="Twice as much",
    )
    world.client.create_routine(made)
    assert [item.routine_id for item in world.client.list_routines(name)] == ["twice"]
    (listed,) = world.client.list_routines(name)
    assert (listed.type_, listed.language, listed.body) == ("SCALAR_FUNCTION", "SQL", None)
    found = world.client.get_routine(f"{PROJECT}.{name}.twice")
    assert (found.body, found.description, found.arguments[0].name) == ("x * 2", "Twice as much", "x")
    assert world.sql(f"SELECT {name}.twice(21)") == [(42,)]
    with pytest.raises(Conflict, match=rf"Already Exists: Routine {PROJECT}:{name}\.twice"):
        world.client.create_routine(made)
    found.body = "x * 3"
    with pytest.raises(BadRequest, match="routineType"):
        # An update replaces the complete resource.
        world.client.update_routine(found, ["body"])
    world.client.update_routine(found, ["body", "type_", "arguments"])
    assert world.sql(f"SELECT {name}.twice(21)") == [(63,)]
    world.client.delete_routine(found)
    with pytest.raises(NotFound, match=r"Not found: Routine"):
        world.client.get_routine(f"{PROJECT}.{name}.twice")


def test_statements_create_every_type_of_routine(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a UNION ALL SELECT 5")
    world.sql(f"CREATE FUNCTION {name}.plus(x INT64, y STRUCT<a INT64, b ARRAY<STRING>>) RETURNS INT64 AS (x + y.a)")
    world.sql(f'CREATE FUNCTION {name}.js(x FLOAT64) RETURNS FLOAT64 LANGUAGE js AS r"""return x + 1;"""')
    world.sql(f"CREATE FUNCTION {name}.any(x ANY TYPE) OPTIONS (description = 'any (type)') AS (x)")
    world.sql(f"CREATE TABLE FUNCTION {name}.above(least INT64) AS SELECT a FROM {name}.t WHERE a > least")
    world.sql(f"CREATE PROCEDURE {name}.go(IN x INT64, OUT y INT64) BEGIN SET y = x; SELECT 1; END")
    plus = routine(world, name, "plus")
    assert (plus["routineType"], plus["definitionBody"]) == ("SCALAR_FUNCTION", "x + y.a")
    assert plus["returnType"] == {"typeKind": "INT64"}
    assert [one["dataType"]["typeKind"] for one in plus["arguments"]] == ["INT64", "STRUCT"]
    js = routine(world, name, "js")
    assert (js["language"], js["definitionBody"]) == ("JAVASCRIPT", "return x + 1;")
    any_ = routine(world, name, "any")
    assert (any_["arguments"], any_["description"]) == ([{"name": "x", "argumentKind": "ANY_TYPE"}], "any (type)")
    above = routine(world, name, "above")
    assert (above["routineType"], above["definitionBody"]) == (
        "TABLE_VALUED_FUNCTION",
        f"SELECT a FROM {name}.t WHERE a > least",
    )
    go = routine(world, name, "go")
    assert (go["routineType"], [one["mode"] for one in go["arguments"]]) == ("PROCEDURE", ["IN", "OUT"])
    assert go["definitionBody"] == "BEGIN SET y = x; SELECT 1; END"
    assert [item.routine_id for item in world.client.list_routines(name, page_size=2)] == [
        "above", "any", "go", "js", "plus",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["f", "any", "above", "js", "go"])
def test_routines_have_the_form_of_the_api(world: Cloud, name: str) -> None:
    dataset = world.dataset()
    world.sql(f"CREATE TABLE {dataset}.t AS SELECT 1 AS a")
    made = {
        "f": "FUNCTION {}(x NUMERIC(10, 2), y DATE) RETURNS STRING AS ('a')",
        "any": "FUNCTION {}(x ANY TYPE) AS (x)",
        "above": "TABLE FUNCTION {}(x INT64) RETURNS TABLE<a INT64> AS SELECT a FROM " + f"{dataset}.t",
        "js": "FUNCTION {}(x FLOAT64) RETURNS FLOAT64 NOT DETERMINISTIC LANGUAGE js AS 'return x;'",
        "go": "PROCEDURE {}(INOUT x ARRAY<INT64>) BEGIN END",
    }[name]
    world.sql("CREATE " + made.format(f"`{PROJECT}.{dataset}.{name}`"))
    assert check("bigquery.v2", "Routine", routine(world, dataset, name)) == []


def test_functions_in_sql_are_called_in_queries_and_views(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a UNION ALL SELECT 5")
    world.sql(f"CREATE FUNCTION {name}.inc(x INT64) AS (x + 1)")
    world.sql(f"CREATE FUNCTION {name}.twice(x INT64) AS ({name}.inc(x) * 2)")
    world.sql(f"CREATE TABLE FUNCTION {name}.above(least INT64) AS SELECT a FROM {name}.t WHERE a > least")
    assert world.sql(f"SELECT {name}.twice(a + 1) FROM {name}.t ORDER BY 1") == [(6,), (14,)]
    assert world.sql(f"SELECT `{PROJECT}.{name}.twice`(1), `{PROJECT}`.{name}.inc(1)") == [(4, 2)]
    assert world.sql(f"SELECT x.a FROM {name}.above(2) AS x") == [(5,)]
    world.sql(f"CREATE VIEW {name}.v AS SELECT {name}.twice(a) AS b FROM `{PROJECT}.{name}.above`(2)")
    assert world.sql(f"SELECT b FROM {name}.v") == [(12,)]


def test_what_does_not_exist_cannot_be_called_or_named_in_a_body(world: Cloud) -> None:
    name = world.dataset()
    with pytest.raises(BadRequest, match=rf"Function not found: {name}\.nothing"):
        world.sql(f"SELECT {name}.nothing(1)")
    with pytest.raises(BadRequest, match=rf"Function not found: {name}\.nothing"):
        world.sql(f"CREATE FUNCTION {name}.f(x INT64) AS ({name}.nothing(x))")
    with pytest.raises(NotFound, match=rf"Not found: Table {PROJECT}:{name}\.nothing"):
        world.sql(f"CREATE TABLE FUNCTION {name}.f() AS SELECT * FROM {name}.nothing")
    assert list(world.client.list_routines(name)) == []
    world.sql(f"CREATE FUNCTION {name}.f(x INT64) AS (x)")
    with pytest.raises(BadRequest, match="No matching signature"):
        world.sql(f"SELECT {name}.f(1, 2)")


def test_routines_are_replaced_kept_and_dropped(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE FUNCTION {name}.f() AS (1)")
    with pytest.raises(Conflict):
        world.sql(f"CREATE FUNCTION {name}.f() AS (2)")
    world.sql(f"CREATE FUNCTION IF NOT EXISTS {name}.f() AS (2)")
    assert world.sql(f"SELECT {name}.f()") == [(1,)]
    world.sql(f"CREATE OR REPLACE FUNCTION {name}.f() AS (3)")
    assert world.sql(f"SELECT {name}.f()") == [(3,)]
    world.sql(f"DROP FUNCTION {name}.f")
    world.sql(f"DROP FUNCTION IF EXISTS {name}.f")
    with pytest.raises(NotFound):
        world.sql(f"DROP FUNCTION {name}.f")


def test_models_are_listed(world: Cloud) -> None:
    name = world.dataset()
    assert list(world.client.list_models(name)) == []
    for model in ("second", "first"):
        world.control("POST", "models", {"project": PROJECT, "dataset": name, "model": model})
    assert [model.model_id for model in world.client.list_models(name, page_size=1)] == ["first", "second"]


def test_indexes_are_shown_by_the_statements_that_create_them(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (text STRING, embedding ARRAY<FLOAT64>)")
    views = [
        f"SELECT table_name, index_name, ddl FROM {name}.INFORMATION_SCHEMA.{kind}_INDEXES"
        for kind in ("SEARCH", "VECTOR")
    ]
    assert [world.sql(view) for view in views] == [[], []]
    world.sql(f"CREATE SEARCH INDEX words ON {name}.t (ALL COLUMNS) OPTIONS (analyzer = 'LOG_ANALYZER')")
    world.sql(f"CREATE VECTOR INDEX near ON {name}.t (embedding) OPTIONS (index_type = 'IVF')")
    target = f"`{PROJECT}.{name}.t`"
    search = f"CREATE SEARCH INDEX `words` ON {target}(ALL COLUMNS) OPTIONS (analyzer = 'LOG_ANALYZER')"
    vector = f"CREATE VECTOR INDEX `near` ON {target}(embedding) OPTIONS (index_type = 'IVF')"
    assert world.sql(" UNION ALL ".join(views)) == [("t", "words", search), ("t", "near", vector)]
    with pytest.raises(Conflict):
        world.sql(search)
    world.sql(f"DROP SEARCH INDEX words ON {name}.t")
    world.sql(search)
    assert world.sql(views[0]) == [("t", "words", search)]
    with pytest.raises(NotFound):
        world.sql(f"DROP SEARCH INDEX near ON {name}.t")


@pytest.mark.parametrize(
    ("permission", "path"),
    [
        ("bigquery.routines.list", "routines"),
        ("bigquery.routines.get", "routines/f"),
        ("bigquery.models.list", "models"),
    ],
)
def test_permissions_are_checked(world: Cloud, permission: str, path: str) -> None:
    name = world.dataset()
    world.sql(f"CREATE FUNCTION {name}.f() AS (1)")
    url = f"{world.address}/bigquery/v2/projects/{PROJECT}/datasets/{name}/{path}"
    assert requests.get(url, timeout=10).status_code == 200
    world.control("PUT", "denied", {"projects": {PROJECT: [permission]}})
    try:
        assert requests.get(url, timeout=10).status_code == 403
    finally:
        world.control("PUT", "denied", {"projects": {}})


def test_indexes_need_a_permission_of_their_tables(world: Cloud) -> None:
    name = world.dataset()
    world.control("PUT", "denied", {"projects": {PROJECT: ["bigquery.tables.list"]}})
    try:
        with pytest.raises(Forbidden, match=r"does not have bigquery\.tables\.list permission"):
            world.sql(f"SELECT ddl FROM {name}.INFORMATION_SCHEMA.SEARCH_INDEXES")
    finally:
        world.control("PUT", "denied", {"projects": {}})


def test_routines_models_and_indexes_outlive_a_restart_and_go_with_their_dataset(tmp_path: Path) -> None:
    with serve_world(tmp_path) as world:
        name = world.dataset()
        world.sql(f"CREATE TABLE {name}.t (text STRING)")
        world.sql(f"CREATE SEARCH INDEX words ON {name}.t (text)")
        world.sql(f"CREATE FUNCTION {name}.f() AS (1)")
        world.control("POST", "models", {"project": PROJECT, "dataset": name, "model": "m"})
    with serve_world(tmp_path) as world:
        assert world.sql(f"SELECT {name}.f()") == [(1,)]
        assert [model.model_id for model in world.client.list_models(name)] == ["m"]
        assert len(world.sql(f"SELECT ddl FROM {name}.INFORMATION_SCHEMA.SEARCH_INDEXES")) == 1
        world.client.delete_dataset(name, delete_contents=True)
        world.client.create_dataset(name)
        assert (list(world.client.list_routines(name)), list(world.client.list_models(name))) == ([], [])
