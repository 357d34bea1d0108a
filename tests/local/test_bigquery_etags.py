"""Etags, and the conditions that requests make with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from local.bigquery_server import PROJECT, Cloud


@pytest.fixture
def send(world: Cloud) -> Callable[..., requests.Response]:
    def request(method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        address = f"{world.address}/bigquery/v2/projects/{PROJECT}/{path}"
        return requests.request(method, address, json=body, headers=named, timeout=30)

    return request


@pytest.mark.parametrize("kind", ["table", "dataset", "routine"])
def test_a_change_can_require_the_present_etag(world: Cloud, send: Callable[..., requests.Response], kind: str) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    world.sql(f"CREATE FUNCTION {name}.f(x INT64) AS (x)")
    path = {"table": f"datasets/{name}/tables/t", "dataset": f"datasets/{name}",
            "routine": f"datasets/{name}/routines/f"}[kind]  # fmt: skip
    found = send("GET", path).json()
    tag = found["etag"]
    assert send("GET", path).json()["etag"] == tag
    assert send("GET", path, If_None_Match=tag).status_code == 304
    assert send("GET", path, If_None_Match="other").status_code == 200
    assert send("GET", path, If_Match="other").status_code == 412
    body = found if kind == "routine" else {"description": "new"}
    for method in ("PUT",) if kind == "routine" else ("PATCH", "PUT"):
        assert send(method, path, body, If_Match="other").status_code == 412
    changed = send("PUT" if kind == "routine" else "PATCH", path, {**body, "description": "new"}, If_Match=tag)
    assert (changed.status_code, changed.json()["description"]) == (200, "new")
    assert changed.json()["etag"] != tag
    assert send("DELETE", path, If_Match=tag).status_code == 412
    assert send("GET", path).status_code == 200
    if kind != "dataset":
        assert send("DELETE", path, If_Match=changed.json()["etag"]).status_code == 204


def test_the_etag_of_a_table_changes_with_its_rows(world: Cloud) -> None:
    name = f"{world.dataset()}.t"
    world.sql(f"CREATE TABLE {name} AS SELECT 1 AS a")
    tags = [world.client.get_table(name).etag]
    world.sql(f"INSERT INTO {name} (a) VALUES (2)")
    tags.append(world.client.get_table(name).etag)
    assert world.client.insert_rows_json(name, [{"a": 3}]) == []
    tags.append(world.client.get_table(name).etag)
    assert len(set(tags)) == 3


def test_the_etag_of_a_finished_job_stays(world: Cloud) -> None:
    job = world.client.query("SELECT 1 AS a")
    job.result()
    tags = {world.client.get_job(job.job_id, location=job.location).etag for _ in range(3)}
    assert len(tags) == 1


def test_a_query_names_the_table_that_has_its_rows(world: Cloud) -> None:
    job = world.client.query("SELECT 7 AS a, CAST('1.5' AS BIGNUMERIC) AS b")
    job.result()
    table = world.client.get_job(job.job_id, location=job.location).destination
    assert table.dataset_id.startswith("_")
    assert [
        row["a"] for row in world.client.list_rows(table, selected_fields=world.client.get_table(table).schema)
    ] == [7]
    assert [field.field_type for field in world.client.get_table(table).schema] == ["INTEGER", "BIGNUMERIC"]
    assert table.dataset_id not in [one.dataset_id for one in world.client.list_datasets()]
    assert table.dataset_id in [one.dataset_id for one in world.client.list_datasets(include_all=True)]


def test_no_policy_tags_remove_those_of_a_column(world: Cloud, send: Callable[..., requests.Response]) -> None:
    name = world.dataset()
    column = {"name": "a", "type": "STRING", "description": "A", "policyTags": {"names": ["projects/p/x"]}}
    body = {"tableReference": {"tableId": "t"}, "schema": {"fields": [column]}}
    made = send("POST", f"datasets/{name}/tables", body).json()
    assert made["schema"]["fields"][0]["policyTags"] == {"names": ["projects/p/x"]}
    bare = {"name": "a", "type": "STRING", "policyTags": {"names": []}}
    changed = send("PATCH", f"datasets/{name}/tables/t", {"schema": {"fields": [bare]}}).json()
    assert changed["schema"]["fields"] == [{"name": "a", "type": "STRING", "mode": "NULLABLE"}]


def test_permissions_on_a_table_can_be_tested(world: Cloud, send: Callable[..., requests.Response]) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    wanted = ["bigquery.tables.get", "bigquery.tables.delete"]
    world.control("PUT", "denied", {"projects": {PROJECT: ["bigquery.tables.delete"]}})
    try:
        answer = send("POST", f"datasets/{name}/tables/t:testIamPermissions", {"permissions": wanted})
    finally:
        world.control("PUT", "denied", {})
    assert answer.json() == {"permissions": ["bigquery.tables.get"]}
    assert send("POST", f"datasets/{name}/tables/x:testIamPermissions", {}).status_code == 404


def test_a_project_has_a_service_account(world: Cloud) -> None:
    assert world.client.get_service_account_email().endswith(".iam.gserviceaccount.com")
