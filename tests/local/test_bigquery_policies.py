"""Row access policies of the stand-in, and the properties of datasets."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from google.api_core.exceptions import Forbidden
from google.cloud import bigquery

from deploy.discovery import check
from local.bigquery_server import PROJECT, Cloud


def call(world: Cloud, dataset: str, method: str, path: str = "", **body: Any) -> requests.Response:
    url = f"{world.address}/bigquery/v2/projects/{PROJECT}/datasets/{dataset}/tables/t/rowAccessPolicies{path}"
    return requests.request(method, url, json=body, timeout=10)


def policy(name: str, predicate: str, *grantees: str) -> dict[str, Any]:
    return {"rowAccessPolicyReference": {"policyId": name}, "filterPredicate": predicate, "grantees": [*grantees]}


def test_policies_are_listed_without_their_members_which_their_iam_policy_has(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    eu = ["group:eu@example.com", "user:a@example.com"]
    made = call(world, name, "POST", **policy("eu", "a = 1", *eu)).json()
    assert (made["filterPredicate"], "grantees" in made) == ("a = 1", False)
    world.sql(f"CREATE ROW ACCESS POLICY us ON {name}.t GRANT TO ('domain:example.com') FILTER USING (a IN (2, 3))")
    answer = call(world, name, "GET").json()
    assert check("bigquery.v2", "ListRowAccessPoliciesResponse", answer) == []
    listed = [(p["rowAccessPolicyReference"]["policyId"], p["filterPredicate"]) for p in answer["rowAccessPolicies"]]
    assert listed == [("eu", "a = 1"), ("us", "a IN (2, 3)")]
    members = call(world, name, "POST", "/eu:getIamPolicy").json()
    assert check("bigquery.v2", "Policy", members) == []
    assert members["bindings"] == [{"role": "roles/bigquery.filteredDataViewer", "members": eu}]
    assert call(world, name, "POST", "/us:getIamPolicy").json()["bindings"][0]["members"] == ["domain:example.com"]
    assert call(world, name, "POST", "/nothing:getIamPolicy").status_code == 404


def test_a_policy_is_created_once_changed_and_deleted(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    assert call(world, name, "POST", **policy("p", "a = 1")).status_code == 200
    assert call(world, name, "POST", **policy("p", "a = 2")).status_code == 409
    assert call(world, name, "POST", filterPredicate="a = 2").status_code == 400
    assert "bindings" not in call(world, name, "POST", "/p:getIamPolicy").json()
    assert call(world, name, "PUT", "/p", **policy("p", "a = 3")).json()["filterPredicate"] == "a = 3"
    assert call(world, name, "GET", "/p").json()["filterPredicate"] == "a = 3"
    assert call(world, name, "DELETE", "/p").status_code == 204
    assert call(world, name, "GET", "/p").status_code == 404
    assert call(world, name, "PUT", "/p", **policy("p", "a = 3")).status_code == 404


def test_members_need_a_permission_of_their_own(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    call(world, name, "POST", **policy("p", "a = 1"))
    world.control("PUT", "denied", {"projects": {PROJECT: ["bigquery.rowAccessPolicies.getIamPolicy"]}})
    try:
        assert call(world, name, "GET").status_code == 200
        assert call(world, name, "POST", "/p:getIamPolicy").status_code == 403
    finally:
        world.control("PUT", "denied", {"projects": {}})


def test_one_query_shows_the_policies_of_all_tables_without_their_members(world: Cloud) -> None:
    name = world.dataset()
    view = f"FROM {name}.INFORMATION_SCHEMA.ROW_ACCESS_POLICIES"
    assert world.sql(f"SELECT table_name {view}") == []
    for table in ("t", "u", "unprotected"):
        world.sql(f"CREATE TABLE {name}.{table} AS SELECT 1 AS a")
    world.sql(f"CREATE ROW ACCESS POLICY eu ON {name}.t GRANT TO ('user:a@example.com') FILTER USING (a = 1)")
    world.sql(f"CREATE ROW ACCESS POLICY us ON {name}.t FILTER USING (a = 2)")
    world.sql(f"CREATE ROW ACCESS POLICY eu ON {name}.u FILTER USING (TRUE)")
    columns = "table_catalog, table_schema, table_name, row_access_policy_name, filter_predicate"
    assert world.sql(f"SELECT {columns} {view} ORDER BY 3, 4") == [
        (PROJECT, name, "t", "eu", "a = 1"), (PROJECT, name, "t", "us", "a = 2"), (PROJECT, name, "u", "eu", "TRUE"),
    ]  # fmt: skip
    ((created, modified),) = world.sql(f"SELECT creation_time, last_modified_time {view} WHERE table_name = 'u'")
    assert created == modified
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=5)
    world.sql(f"DROP ALL ROW ACCESS POLICIES ON {name}.t")
    assert world.sql(f"SELECT DISTINCT table_name {view}") == [("u",)]


@pytest.mark.parametrize("permission", ["bigquery.rowAccessPolicies.get", "bigquery.rowAccessPolicies.list"])
def test_the_policies_of_all_tables_need_both_permissions(world: Cloud, permission: str) -> None:
    name = world.dataset()
    world.control("PUT", "denied", {"projects": {PROJECT: [permission]}})
    try:
        with pytest.raises(Forbidden, match=re.escape(f"does not have {permission} permission")):
            world.sql(f"SELECT table_name FROM {name}.INFORMATION_SCHEMA.ROW_ACCESS_POLICIES")
    finally:
        world.control("PUT", "denied", {"projects": {}})


def test_a_dataset_has_all_of_its_properties(world: Cloud) -> None:
    given = {
        "labels": {"team": "data"}, "description": "Sales", "friendlyName": "Sales", "defaultCollation": "und:ci",
        "defaultRoundingMode": "ROUND_HALF_EVEN", "defaultTableExpirationMs": "86400000000",
        "defaultPartitionExpirationMs": "86400000000", "maxTimeTravelHours": "48", "storageBillingModel": "PHYSICAL",
        "isCaseInsensitive": True, "resourceTags": {"123/env": "prod"}, "location": "EU",
        "defaultEncryptionConfiguration": {"kmsKeyName": "projects/p/locations/eu/keyRings/r/cryptoKeys/k"},
        "access": [{"role": "OWNER", "userByEmail": "me@example.com"}],
    }  # fmt: skip
    reference = {"projectId": PROJECT, "datasetId": "all_properties"}
    world.client.create_dataset(bigquery.Dataset.from_api_repr({"datasetReference": reference, **given}))
    found = world.client.get_dataset("all_properties").to_api_repr()
    assert check("bigquery.v2", "Dataset", found) == []
    assert {key: found[key] for key in given} == given


def test_access_entries_need_a_permission_of_their_own(world: Cloud) -> None:
    name = world.dataset()
    url = f"{world.address}/bigquery/v2/projects/{PROJECT}/datasets/{name}"
    assert {"role": "OWNER", "specialGroup": "projectOwners"} in requests.get(url, timeout=10).json()["access"]
    world.control("PUT", "denied", {"projects": {PROJECT: ["bigquery.datasets.getIamPolicy"]}})
    try:
        assert requests.get(url, timeout=10).status_code == 403
        metadata = requests.get(f"{url}?datasetView=METADATA", timeout=10).json()
        assert (metadata["location"], "access" in metadata) == ("US", False)
    finally:
        world.control("PUT", "denied", {"projects": {}})
