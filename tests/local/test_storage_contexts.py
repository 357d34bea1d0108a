"""Object contexts: keys and values that listings filter by, and copies take over."""

from __future__ import annotations

from typing import Any

import pytest

from local.storage_server import Http, path_of

BUCKET = "contexts"


def custom(**values: str | None) -> dict[str, Any]:
    return {"contexts": {"custom": {key: {"value": value} for key, value in values.items()}}}


def values(resource: dict[str, Any]) -> dict[str, str]:
    return {key: payload["value"] for key, payload in resource.get("contexts", {}).get("custom", {}).items()}


def test_contexts_are_changed_one_by_one(http: Http) -> None:
    made = http.upload_multipart(BUCKET, {"name": "x", **custom(a="1", b="2")}).json()
    assert values(made) == {"a": "1", "b": "2"}
    path = path_of(BUCKET, "x")
    changed = http.call("PATCH", path, json=custom(a="3", b=None, c="4")).json()
    assert values(changed) == {"a": "3", "c": "4"}
    times = changed["contexts"]["custom"]["a"]
    assert times["createTime"] == made["contexts"]["custom"]["a"]["createTime"] <= times["updateTime"]
    assert values(http.call("PATCH", path, json={"contexts": None}).json()) == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('contexts."to"="prod"', ["prod"]),
        ('contexts."to":*', ["prod", "test"]),
        ('-contexts."to"="prod"', ["none", "test"]),
        ('-contexts."to":*', ["none"]),
    ],
)
def test_a_listing_is_filtered_by_contexts(http: Http, text: str, names: list[str]) -> None:
    http.bucket(bucket := f"filtered-{len(names)}-{len(text)}")
    for name in ("none", "prod", "test"):
        contexts = custom(to=name) if name != "none" else {}
        assert http.upload_multipart(bucket, {"name": name, **contexts}).ok
    found = http.call("GET", f"b/{bucket}/o", params={"filter": text}).json()["items"]
    assert [item["name"] for item in found] == names


@pytest.mark.parametrize("text", ["x", 'contexts."a"', 'contexts."a"="b" OR contexts."c":*'])
def test_a_filter_that_is_not_understood_is_refused(http: Http, text: str) -> None:
    assert http.call("GET", f"b/{BUCKET}/o", params={"filter": text}).status_code == 400


@pytest.mark.parametrize(
    ("body", "params", "expected"),
    [
        ({}, {}, {"a": "1"}),
        ({"metadata": {"k": "v"}}, {}, {"a": "1"}),
        (custom(b="2"), {}, {"b": "2"}),
        ({}, {"dropContextGroups": "custom"}, {}),
    ],
)
def test_a_copy_takes_contexts_over_unless_it_has_its_own(
    http: Http, body: dict[str, Any], params: dict[str, str], expected: dict[str, str]
) -> None:
    http.upload_multipart(BUCKET, {"name": "source", **custom(a="1")})
    path = f"{path_of(BUCKET, 'source')}/rewriteTo/{path_of(BUCKET, 'copy')}"
    assert values(http.call("POST", path, json=body, params=params).json()["resource"]) == expected


@pytest.mark.parametrize("values", [{"a": ""}, {"a": "x" * 257}, {f"k{number}": "v" for number in range(51)}])
def test_contexts_beyond_the_limits_are_refused(http: Http, values: dict[str, str]) -> None:
    assert http.upload_multipart(BUCKET, {"name": "never", **custom(**values)}).status_code == 400
