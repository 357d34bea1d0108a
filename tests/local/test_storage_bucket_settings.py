"""Settings of buckets: what the service adds to them, and what they do to objects."""

from __future__ import annotations

from typing import Any

import pytest

from local.storage_server import Http, path_of

BUCKET = "settings"


def test_autoclass_has_its_times_and_starts_every_object_in_standard(http: Http) -> None:
    http.bucket("auto", storageClass="NEARLINE", autoclass={"enabled": True})
    made = http.call("GET", "b/auto").json()["autoclass"]
    assert (made["enabled"], made["terminalStorageClass"]) == (True, "NEARLINE")
    assert http.upload_multipart("auto", {"name": "x", "storageClass": "COLDLINE"}).json()["storageClass"] == "STANDARD"
    changed = http.call("PATCH", "b/auto", json={"autoclass": {"enabled": False}}).json()["autoclass"]
    assert changed.keys() == {"enabled", "toggleTime"}
    assert http.upload_multipart("auto", {"name": "x", "storageClass": "COLDLINE"}).json()["storageClass"] == "COLDLINE"
    refused = http.call("PATCH", "b/auto", json={"autoclass": {"enabled": True, "terminalStorageClass": "COLDLINE"}})
    assert refused.status_code == 400


@pytest.mark.parametrize(
    ("location", "kind", "rpo"),
    [("europe-west1", "region", None), ("EU", "multi-region", "DEFAULT"), ("NAM4", "dual-region", "DEFAULT")],
)
def test_buckets_in_more_than_one_region_have_an_rpo(http: Http, location: str, kind: str, rpo: str | None) -> None:
    http.bucket(name := f"rpo-{location.lower()}", location=location)
    found = http.call("GET", f"b/{name}").json()
    assert (found["locationType"], found.get("rpo")) == (kind, rpo)
    turbo = http.call("PATCH", f"b/{name}", json={"rpo": "ASYNC_TURBO"})
    assert turbo.status_code == (200 if kind == "dual-region" else 400)
    assert http.call("PATCH", f"b/{name}", json={"rpo": "FAST"}).status_code == 400


def test_a_bucket_may_be_in_two_regions_of_its_choice(http: Http) -> None:
    placed = {"dataLocations": ["US-EAST1", "US-WEST1"]}
    http.bucket("placed", location="US", customPlacementConfig=placed)
    http.call("PUT", "b/placed", json={}).raise_for_status()
    found = http.call("GET", "b/placed").json()
    assert (found["locationType"], found["customPlacementConfig"]) == ("dual-region", placed)
    for body in ({"location": "US", "customPlacementConfig": {"dataLocations": ["US-EAST1"]}},
                 {"location": "europe-west1", "customPlacementConfig": placed}):  # fmt: skip
        assert http.call("POST", "b", json={"name": "misplaced", **body}).status_code == 400


KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/k"


@pytest.mark.parametrize(("kind", "resource"), [("googleManaged", {}), ("customerManaged", {"kmsKeyName": KEY})])
def test_a_bucket_refuses_the_encryption_that_it_excludes(http: Http, kind: str, resource: dict[str, Any]) -> None:
    http.bucket(name := f"enforce-{kind.lower()}")
    key = f"{kind}EncryptionEnforcementConfig"
    patch = {"encryption": {key: {"restrictionMode": "FullyRestricted"}}}
    config = http.call("PATCH", f"b/{name}", json=patch).json()["encryption"][key]
    assert config.keys() == {"restrictionMode", "effectiveTime"}
    assert http.upload_multipart(name, {"name": "x", **resource}).status_code == 412
    http.call("PATCH", f"b/{name}", json={"encryption": {key: None}}).raise_for_status()
    assert http.upload_multipart(name, {"name": "x", **resource}).ok
    wrong = {"encryption": {key: {"restrictionMode": "Sometimes"}}}
    assert http.call("PATCH", f"b/{name}", json=wrong).status_code == 400
    assert http.call("GET", path_of(name, "x")).ok


def test_a_project_has_a_service_account(http: Http) -> None:
    answer = http.call("GET", "projects/some/serviceAccount").json()
    assert answer["email_address"] == "some@gs-project-accounts.iam.gserviceaccount.com"


def test_an_unknown_prevention_of_public_access_is_refused(http: Http) -> None:
    body = {"iamConfiguration": {"publicAccessPrevention": "sometimes"}}
    assert http.call("PATCH", f"b/{BUCKET}", json=body).status_code == 400
