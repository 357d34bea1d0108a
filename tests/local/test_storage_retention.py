"""Retention of single objects, and holds: what they protect, and how they end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.storage_server import Http, path_of, storage_server

BUCKET = "plain"
PATH = path_of("retaining", "x")


def later(**time: float) -> str:
    return (datetime.now(UTC) + timedelta(**time)).isoformat()


@pytest.fixture
def http(address: str) -> Iterator[Http]:
    with Http(address) as http:
        if http.call("GET", "b/retaining").status_code == 404:
            http.call("POST", "b", params={"enableObjectRetention": "True"}, json={"name": "retaining"})
        yield http


def retain(http: Http, name: str, mode: str, until: str, **params: str) -> Any:
    body = {"retention": {"mode": mode, "retainUntilTime": until}}
    return http.call("PATCH", path_of("retaining", name), json=body, params=params)


def test_a_bucket_with_object_retention_says_so_even_after_an_update(http: Http) -> None:
    assert http.call("GET", "b/retaining").json()["objectRetention"] == {"mode": "Enabled"}
    assert http.call("PUT", "b/retaining", json={"labels": {}}).json()["objectRetention"] == {"mode": "Enabled"}
    assert "objectRetention" not in http.call("GET", f"b/{BUCKET}").json()


@pytest.mark.parametrize("mode", ["Unlocked", "Locked"])
def test_a_retained_object_is_neither_deleted_nor_replaced(http: Http, mode: str) -> None:
    resource = {"name": f"kept-{mode}", "retention": {"mode": mode, "retainUntilTime": later(hours=1)}}
    made = http.upload_multipart("retaining", resource).json()
    assert made["retention"]["mode"] == mode
    assert made["retentionExpirationTime"] == made["retention"]["retainUntilTime"]
    path = path_of("retaining", f"kept-{mode}")
    for refused in (
        http.call("DELETE", path),
        http.upload("retaining", f"kept-{mode}"),
        http.call("POST", f"{path}/moveTo/o/other"),
    ):
        assert refused.status_code == 403
        assert refused.json()["error"]["errors"][0]["reason"] == "retentionPolicyNotMet"
    assert http.call("PATCH", path, json={"metadata": {"a": "b"}}).json()["retention"]["mode"] == mode


def test_a_copy_is_not_retained(http: Http) -> None:
    http.put("retaining", "source")
    assert retain(http, "source", "Locked", later(hours=1)).ok
    copied = http.call("POST", f"{path_of('retaining', 'source')}/rewriteTo/{path_of(BUCKET, 'copy')}", json={})
    assert "retention" not in copied.json()["resource"]


def test_an_unlocked_retention_can_be_lengthened_freely_and_shortened_on_request(http: Http) -> None:
    http.put("retaining", "unlocked")
    override = {"overrideUnlockedRetention": "true"}
    assert retain(http, "unlocked", "Unlocked", later(hours=1)).ok
    assert retain(http, "unlocked", "Unlocked", later(hours=2)).ok
    assert retain(http, "unlocked", "Unlocked", later(hours=1)).status_code == 403
    assert retain(http, "unlocked", "Unlocked", later(hours=1), **override).ok
    assert retain(http, "unlocked", "Locked", later(hours=2)).status_code == 403
    path = path_of("retaining", "unlocked")
    nothing = {"retention": {"mode": None, "retainUntilTime": None}}
    assert http.call("PATCH", path, json=nothing).status_code == 403
    assert http.call("PUT", path, json={}).status_code == 403
    assert "retention" not in http.call("PATCH", path, json=nothing, params=override).json()
    assert http.call("DELETE", path).status_code == 204


def test_a_locked_retention_can_only_be_lengthened(http: Http) -> None:
    http.put("retaining", "locked")
    override = {"overrideUnlockedRetention": "true"}
    assert retain(http, "locked", "Locked", later(hours=1)).ok
    assert retain(http, "locked", "Locked", later(hours=2)).ok
    assert retain(http, "locked", "Locked", later(hours=1), **override).status_code == 403
    assert retain(http, "locked", "Unlocked", later(hours=3), **override).status_code == 403
    refused = http.call("PATCH", path_of("retaining", "locked"), json={"retention": None}, params=override)
    assert refused.status_code == 403
    assert "cannot be removed, shortened or unlocked" in refused.text


@pytest.mark.parametrize(
    ("retention", "message"),
    [
        ({"mode": "Locked"}, "needs a mode, which is Unlocked or Locked, and a retainUntilTime"),
        ({"mode": "Governance", "retainUntilTime": later(hours=1)}, "needs a mode"),
        ({"mode": "Locked", "retainUntilTime": later(hours=-1)}, "must be in the future"),
        ({"mode": "Locked", "retainUntilTime": later(days=36_530)}, "100 years"),
        ({"mode": "Locked", "retainUntilTime": "tomorrow"}, "Invalid retainUntilTime: tomorrow"),
    ],
)
def test_a_retention_that_means_nothing_is_refused(http: Http, retention: dict[str, str], message: str) -> None:
    refused = http.upload_multipart("retaining", {"name": "never", "retention": retention})
    assert (refused.status_code, message in refused.text) == (400, True)
    assert http.call("GET", path_of("retaining", "never")).status_code == 404


def test_a_bucket_without_object_retention_refuses_it(http: Http) -> None:
    retention = {"mode": "Unlocked", "retainUntilTime": later(hours=1)}
    refused = http.upload_multipart(BUCKET, {"name": "never", "retention": retention})
    assert (refused.status_code, "does not have object retention enabled" in refused.text) == (400, True)


def test_retention_needs_permissions(http: Http) -> None:
    http.put("retaining", "permitted")
    http.call("PUT", "/_local/denied", json={"buckets": {"retaining": ["storage.objects.setRetention"]}})
    try:
        assert retain(http, "permitted", "Unlocked", later(hours=1)).status_code == 403
        override = ["storage.objects.overrideUnlockedRetention"]
        http.call("PUT", "/_local/denied", json={"buckets": {"retaining": override}})
        assert retain(http, "permitted", "Unlocked", later(hours=2)).ok
        assert (
            retain(http, "permitted", "Unlocked", later(hours=1), overrideUnlockedRetention="true").status_code == 403
        )
    finally:
        http.call("DELETE", "/_local/denied")


def test_a_retained_object_can_become_noncurrent_but_its_version_stays(http: Http) -> None:
    http.call("POST", "b", params={"enableObjectRetention": "true"},
              json={"name": "versions", "versioning": {"enabled": True}}).raise_for_status()  # fmt: skip
    retention = {"mode": "Locked", "retainUntilTime": later(hours=1)}
    first = http.upload_multipart("versions", {"name": "x", "retention": retention}).json()["generation"]
    second = http.upload("versions", "x")
    assert second.ok
    assert "retention" not in second.json()
    path = path_of("versions", "x")
    assert http.call("DELETE", path, params={"generation": first}).status_code == 403
    assert http.call("DELETE", path).status_code == 204
    assert http.call("DELETE", path, params={"generation": second.json()["generation"]}).status_code == 204


def test_the_clock_of_a_policy_starts_when_an_event_based_hold_is_released(http: Http) -> None:
    http.bucket("events", retentionPolicy={"retentionPeriod": "3600"})
    http.put("events", "x")
    path = path_of("events", "x")
    made = http.call("GET", path).json()
    held = http.call("PATCH", path, json={"eventBasedHold": True}).json()
    assert "retentionExpirationTime" not in held
    released = http.call("PATCH", path, json={"eventBasedHold": False}).json()
    ends = [datetime.fromisoformat(answer["retentionExpirationTime"]) for answer in (made, released)]
    assert ends[1] == datetime.fromisoformat(released["updated"]) + timedelta(hours=1)
    assert ends[1] > ends[0]


def test_retention_outlives_the_server(tmp_path: Path) -> None:
    with storage_server(tmp_path, persist=True) as address, Http(address) as http:
        http.call("POST", "b", params={"enableObjectRetention": "true"}, json={"name": "retaining"})
        http.put("retaining", "x")
        assert retain(http, "x", "Locked", later(hours=1)).ok
    with storage_server(tmp_path, persist=True) as address, Http(address) as http:
        assert http.call("DELETE", PATH).status_code == 403
