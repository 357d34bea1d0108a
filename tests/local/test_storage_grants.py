"""Grants on a bucket of the stand-in: roles and conditions, as IAM evaluates them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from bqdump_local.storage.store.conditions import ConditionError, parse
from local.storage_server import Http, path_of, storage_server

NAME = "projects/_/buckets/b/objects/sales/_bqdump/runs/r1/claims/0.json"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with storage_server() as address:
        yield address


@pytest.fixture
def http(address: str) -> Iterator[Http]:
    with Http(address) as http:
        yield http
        http.call("PUT", "/_local/granted", json={}).raise_for_status()


@pytest.mark.parametrize(
    ("expression", "true"),
    [
        ('resource.name.endsWith("/0.json")', True),
        ('resource.name.endsWith("/1.json")', False),
        ('resource.name.startsWith("projects/_/buckets/b/objects/sales/")', True),
        (f'resource.name == "{NAME}"', True),
        (f'resource.name != "{NAME}"', False),
        ('resource.name.extract("/_bqdump/runs/{run}/claims/") == "r1"', True),
        ('resource.name.extract("/_bqdump/runs/{run}/sessions/") != ""', False),
        ('resource.name.extract("/_bqdump/projects/{run}/claims/") != ""', False),
        ('resource.name.extract("/claims/{rest}") == "0.json"', True),
        ('resource.name.endsWith("x") || resource.name.endsWith(".json")', True),
        ('resource.name.endsWith("x") && resource.name.endsWith(".json")', False),
        # && binds more tightly.
        ('resource.name.endsWith("0.json") || resource.name.endsWith("x") && resource.name.endsWith("y")', True),
        ('(resource.name.endsWith("0.json") || resource.name.endsWith("x")) && resource.name.endsWith("y")', False),
        # A condition is true or false, and nothing else.
        ("resource.name", False),
    ],
)
def test_a_condition_is_evaluated_for_a_name(expression: str, true: bool) -> None:
    assert parse(expression)(NAME) is true


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ('resource.name.matches(".*")', "cannot evaluate '.matches"),
        ("resource.type", "cannot evaluate 'resource.type'"),
        ('resource.name.endsWith("x"', ") is missing"),
        ("", "it ends too early"),
        ('"a" "b"', 'unexpected "b"'),
        ("|| true", "cannot evaluate ' true'"),
        (" || ".join(['resource.name == "x"'] * 14), "more than 12 logical operators"),
    ],
)
def test_a_condition_that_cannot_be_evaluated_is_refused(expression: str, problem: str) -> None:
    with pytest.raises(ConditionError, match=re.escape(problem)):
        parse(expression)


def grant(http: Http, *grants: dict[str, str], bucket: str = "granted") -> None:
    http.call("PUT", "/_local/granted", json={"buckets": {bucket: grants}}).raise_for_status()


def test_a_bucket_permits_what_its_grants_give_and_other_buckets_everything(http: Http) -> None:
    for bucket in ("granted", "open"):
        http.bucket(bucket)
        http.put(bucket, "old")
    grant(http, {"role": "roles/storage.objectCreator"})
    assert http.upload("granted", "new").status_code == 200
    for refused in (
        http.upload("granted", "old"), http.call("DELETE", path_of("granted", "old")),
        http.call("GET", path_of("granted", "old")), http.call("GET", "/storage/v1/b/granted/o"),
        http.call("GET", "/storage/v1/b/granted"),
    ):  # fmt: skip
        assert refused.status_code == 403
    assert http.call("DELETE", path_of("open", "old")).status_code == 204


def test_a_condition_restricts_a_role_to_names(http: Http) -> None:
    http.bucket("narrow")
    for name in ("keep", "x/latest.json"):
        http.put("narrow", name)
    condition = 'resource.name.endsWith("/latest.json")'
    grant(http, {"role": "roles/storage.objectUser", "condition": condition}, bucket="narrow")
    assert http.call("GET", "/_local/granted").json() == {
        "buckets": {"narrow": [{"role": "roles/storage.objectUser", "condition": condition}]}
    }
    assert http.upload("narrow", "x/latest.json").status_code == 200
    assert http.call("DELETE", path_of("narrow", "keep")).status_code == 403
    assert http.call("DELETE", path_of("narrow", "x/latest.json")).status_code == 204
    # As on the service, the name of a listing's or a test's resource is the bucket's.
    asked = "/storage/v1/b/narrow/iam/testPermissions?permissions=storage.objects.delete"
    assert "permissions" not in http.call("GET", asked).json()


def test_an_unknown_role_or_condition_is_refused(http: Http) -> None:
    refused: list[list[Any]] = [
        [{"role": "roles/owner"}], [{"role": "roles/storage.objectUser", "condition": "true"}], ["x"], [{}],
    ]  # fmt: skip
    for grants in refused:
        answer = http.call("PUT", "/_local/granted", json={"buckets": {"granted": grants}})
        assert answer.status_code == 400
