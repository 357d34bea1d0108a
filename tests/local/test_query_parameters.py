"""The rule for parameters of requests: each has an effect, or is listed as having none, or is refused by name."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from bqdump_local.bigquery.bodies import check_query as check_bigquery
from bqdump_local.bigquery.errors import BigQueryError
from bqdump_local.cloud_run.api_fields import check_query as check_run
from bqdump_local.cloud_run.errors import CloudRunError
from bqdump_local.fields import Fields
from bqdump_local.operations import cloud_run_operation
from bqdump_local.storage.api_fields import check_query as check_storage
from bqdump_local.storage.errors import ApiError
from deploy import discovery
from local.bigquery_server import PROJECT, Cloud
from local.storage_server import Http, path_of, storage_server
from local.test_fields import PARAMETERS, SOURCES, served

CHECKS: dict[str, Any] = {"bigquery.v2": check_bigquery, "storage.v1": check_storage, "run.v2": check_run}
NONE = Fields({}, {}, {}, {})
CONDITION = re.compile(r"if(Source)?(Metag|G)eneration(Not)?Match")


def named(api: str, method: dict[str, Any]) -> str:
    """A method as the stand-ins name it."""
    if api == "run.v2":
        return cloud_run_operation(method["httpMethod"], f"/{method['flatPath']}")
    return str(method["id"])


def groups(api: str, name: str) -> list[Fields]:
    """The groups of a method's parameters, and those of every method."""
    return [PARAMETERS[api].get(name, NONE), PARAMETERS[api][name.partition(".")[0]]]


def queried(method: dict[str, Any]) -> set[str]:
    """The parameters of a method that are not in its path."""
    return {name for name, one in method.get("parameters", {}).items() if one["location"] == "query"}


def test_every_parameter_of_every_method_that_is_served_is_in_exactly_one_group() -> None:
    problems = []
    names: dict[str, set[str]] = {api: {api.partition(".")[0]} for api in PARAMETERS}
    for api, method in served():
        name = named(api, method)
        names[api].add(name)
        for parameter in queried(method) | set(discovery.document(api)["parameters"]):
            kinds = [kind for one in groups(api, name) for kind in (one.effect, one.recorded, one.missing)]
            if sum(parameter in kind for kind in kinds) != 1:
                problems.append(f"{name}: {parameter}")
        problems += [f"{name} has no {one}" for one in set(groups(api, name)[0].known) - queried(method)]
    assert problems == []
    assert {api: set(PARAMETERS[api]) - names[api] for api in PARAMETERS} == {api: set() for api in PARAMETERS}
    assert len(names["storage.v1"]) > 20


@pytest.mark.parametrize("api", PARAMETERS)
def test_a_parameter_with_an_effect_is_read_by_the_code(api: str) -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    effect = {one for group in PARAMETERS[api].values() for one in group.effect if not CONDITION.fullmatch(one)}
    assert [one for one in sorted(effect) if not re.search(rf"""["']{one}["']""", code)] == []


MISSING = [(api, name, one) for api in PARAMETERS for name, group in PARAMETERS[api].items() for one in group.missing]


@pytest.mark.parametrize(("api", "name", "parameter"), MISSING)
def test_a_missing_parameter_is_refused_by_name_unless_it_asks_for_nothing(api: str, name: str, parameter: str) -> None:
    called = name if "." in name else f"{name}.things.list"
    with pytest.raises((BigQueryError, ApiError, CloudRunError), match="does not support the parameter") as caught:
        CHECKS[api](called, [(parameter, "x")])
    assert parameter in str(caught.value)
    assert getattr(caught.value, "status", None) == 501
    nothing = PARAMETERS[api][name].missing[parameter].split("|")
    CHECKS[api](called, [(parameter, value) for value in ("", "false", *nothing)])


def conditions() -> list[tuple[str, str, str, str]]:
    """Each precondition of each method of Cloud Storage: the method, its HTTP method and path, and the parameter."""
    return [
        (method["id"], method["httpMethod"], method["path"], parameter)
        for api, method in served()
        for parameter in sorted(queried(method))
        if api == "storage.v1" and CONDITION.fullmatch(parameter)
    ]


def test_every_precondition_of_every_storage_method_prevents_what_it_excludes() -> None:
    cases = conditions()
    assert len(cases) > 50
    with storage_server() as address, Http(address) as http:
        http.bucket("bucket")
        wrong = []
        for number, (name, verb, path, parameter) in enumerate(cases):
            source, target = f"from-{number}", f"to-{number}"
            known = {one: http.put("bucket", one) for one in (source, target)}
            if name == "storage.objects.restore":
                http.call("DELETE", path_of("bucket", target))
                deleted, known[target] = known[target], http.put("bucket", target)
            about = known[source] if "Source" in parameter else known[target]
            if ".buckets." in name:
                about = http.call("GET", "b/bucket").json()
            key = "metageneration" if "Metageneration" in parameter else "generation"
            # What does not hold: another number, or not the present one.
            value = about[key] if "Not" in parameter else str(int(about[key]) + 1)
            address_of = {"bucket": "bucket", "sourceBucket": "bucket", "destinationBucket": "bucket"}
            names = {**address_of, "sourceObject": source, "destinationObject": target, "object": target}
            filled = "/".join(names[word[1:-1]] if word[:1] == "{" else word for word in path.split("/"))
            body: dict[str, Any] = {"sourceObjects": [{"name": source}]} if name.endswith("compose") else {}
            params: dict[str, Any] = {parameter: value}
            if name == "storage.objects.insert":
                answer = http.upload("bucket", target, **params)
            elif name == "storage.objects.restore":
                answer = http.call(verb, filled, params={**params, "generation": deleted["generation"]})
            else:
                answer = http.call(verb, filled, params=params, **({} if verb in ("GET", "DELETE") else {"json": body}))
            if answer.status_code != (304 if "Not" in parameter else 412):
                wrong.append((name, parameter, answer.status_code, answer.text))
        assert wrong == []


def call(world: Cloud, method: str, path: str, **options: Any) -> requests.Response:
    """A request to BigQuery below a project."""
    address = f"{world.address}/bigquery/v2/projects/{PROJECT}/{path}"
    return requests.request(method, address, timeout=30, **options)


def test_fields_selects_parts_of_bigquerys_answers(world: Cloud) -> None:
    name = world.dataset()
    found = call(world, "GET", f"datasets/{name}", params={"fields": "id,datasetReference(datasetId)"})
    assert found.json() == {"id": f"{PROJECT}:{name}", "datasetReference": {"datasetId": name}}
    assert call(world, "GET", f"datasets/{name}", params={"fields": "id;kind"}).status_code == 400


def test_a_filter_of_datasets_selects_them_by_their_labels(world: Cloud) -> None:
    one, other = world.dataset(), world.dataset()
    call(world, "PATCH", f"datasets/{one}", json={"labels": {"team": "a", "kind": one}})
    call(world, "PATCH", f"datasets/{other}", json={"labels": {"team": "b", "kind": other}})

    def listed(text: str) -> list[str]:
        found = call(world, "GET", "datasets", params={"filter": text}).json()
        return [item["datasetReference"]["datasetId"] for item in found.get("datasets", ())]

    assert listed(f"labels.kind:{one}") == [one]
    assert listed(f"labels.team:b AND labels.kind:{other}") == [other]
    assert listed(f"labels.team:b labels.kind:{one}") == []
    assert {one, other} <= set(listed("labels.team"))
    assert call(world, "GET", "datasets", params={"filter": "name:x"}).status_code == 400


def test_a_view_of_a_dataset_without_metadata_has_its_access(world: Cloud) -> None:
    found = call(world, "GET", f"datasets/{world.dataset()}", params={"datasetView": "ACL"}).json()
    assert set(found) == {"kind", "etag", "id", "selfLink", "datasetReference", "access"}


def test_an_update_mode_changes_only_access_or_only_metadata(world: Cloud) -> None:
    name = world.dataset()
    access = [{"role": "OWNER", "userByEmail": "a@example.com"}]
    before = call(world, "GET", f"datasets/{name}").json()["access"]
    body = {"access": access, "description": "new"}
    found = call(world, "PATCH", f"datasets/{name}", json=body, params={"updateMode": "UPDATE_METADATA"}).json()
    assert (found["access"], found["description"]) == (before, "new")
    body = {"access": access, "description": "newer"}
    found = call(world, "PATCH", f"datasets/{name}", json=body, params={"updateMode": "UPDATE_ACL"}).json()
    assert (found["access"], found["description"]) == (access, "new")


def test_conditions_in_the_access_of_a_new_dataset_need_version_3(world: Cloud) -> None:
    condition = {"expression": "true", "title": "always"}
    access = [{"role": "OWNER", "userByEmail": "a@example.com", "condition": condition}]
    body = {"datasetReference": {"datasetId": "conditional"}, "access": access}
    assert call(world, "POST", "datasets", json=body).status_code == 400
    assert call(world, "POST", "datasets", json=body, params={"accessPolicyVersion": 3}).status_code == 200


def test_masks_and_filters_select_routines_and_their_fields(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE FUNCTION {name}.f() AS (1)")
    found = call(world, "GET", f"datasets/{name}/routines/f", params={"readMask": "language"}).json()
    assert set(found) == {"routineReference", "language"}
    listed = {
        kind: call(world, "GET", f"datasets/{name}/routines", params={"filter": f"routineType:{kind}"}).json()
        for kind in ("SCALAR_FUNCTION", "PROCEDURE")
    }
    assert [len(one.get("routines", ())) for one in listed.values()] == [1, 0]
    assert call(world, "GET", f"datasets/{name}/routines", params={"filter": "name:f"}).status_code == 400


def test_selected_fields_shorten_the_schema_of_a_table(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64, s STRUCT<x INT64, y INT64>, b INT64)")
    found = call(world, "GET", f"datasets/{name}/tables/t", params={"selectedFields": "B,s.y"}).json()
    [inner, last] = found["schema"]["fields"]
    assert ([one["name"] for one in inner["fields"]], last["name"]) == (["y"], "b")
    refused = call(world, "GET", f"datasets/{name}/tables/t/data", params={"selectedFields": "s.y"})
    assert (refused.status_code, "s.y" in refused.text) == (501, True)


def test_an_upload_of_a_load_job_with_a_missing_field_is_refused_like_a_job_without_one(world: Cloud) -> None:
    job = '{"configuration": {"load": {"maxBadRecords": 3}}}'
    parts = f"--m\r\n\r\n{job}\r\n--m\r\n\r\na\r\n--m--"
    address = f"{world.address}/upload/bigquery/v2/projects/{PROJECT}/jobs"
    kind = {"content-type": "multipart/related; boundary=m"}
    answers = [
        requests.post(address, params={"uploadType": "multipart"}, data=parts, headers=kind, timeout=30),
        requests.post(address, params={"uploadType": "resumable"}, data=job, timeout=30),
    ]
    assert [(one.status_code, "load.maxBadRecords" in one.text) for one in answers] == [(501, True)] * 2


def test_a_rewrite_moves_as_many_bytes_at_once_as_are_asked_for() -> None:
    with storage_server() as address, Http(address) as http:
        http.bucket("here")
        http.bucket("there", location="EU")
        http.put("here", "big", b"x" * (5 << 20))

        def rewrite(size: int, **params: Any) -> requests.Response:
            target = "b/here/o/big/rewriteTo/b/there/o/big"
            return http.call("POST", target, json={}, params={"maxBytesRewrittenPerCall": size, **params})

        first = rewrite(3 << 20).json()
        assert (first["totalBytesRewritten"], first["done"]) == (str(3 << 20), False)
        assert rewrite(3 << 20, rewriteToken=first["rewriteToken"]).json()["done"] is True
        assert rewrite(1000).status_code == 400


@pytest.mark.parametrize(("asked", "columns"), [("true", ["a", "b"]), ("false", ["a"]), (None, ["a"])])
def test_an_external_table_reads_its_columns_anew_only_if_asked_to(
    world: Cloud, asked: str | None, columns: list[str]
) -> None:
    name, bucket = world.dataset(), world.bucket()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a, 2 AS b")
    world.extract(f"{name}.t", f"gs://{bucket}/x", destination_format="PARQUET")
    files = {"sourceFormat": "PARQUET", "sourceUris": [f"gs://{bucket}/x"]}
    schema = {"fields": [{"name": "a", "type": "INTEGER"}]}
    body = {"tableReference": {"tableId": "e"}, "externalDataConfiguration": {**files, "schema": schema}}
    assert call(world, "POST", f"datasets/{name}/tables", json=body).status_code == 200
    params = {} if asked is None else {"autodetect_schema": asked}
    body = {"externalDataConfiguration": {**files, "autodetect": True}}
    found = call(world, "PATCH", f"datasets/{name}/tables/e", json=body, params=params).json()
    assert [field["name"] for field in found["schema"]["fields"]] == columns
