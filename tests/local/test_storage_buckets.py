"""Buckets, retention, permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.api_core.exceptions import Conflict, Forbidden, NotFound

from local.storage_server import Http, path_of, storage_client, storage_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with storage_server() as address:
        yield address


@pytest.fixture
def http(address: str) -> Iterator[Http]:
    with Http(address) as http:
        http.call("DELETE", "/_local/denied")
        yield http


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    client = storage_client(address)
    yield client
    client.close()


def test_a_bucket_keeps_what_it_was_made_with(client: Any) -> None:
    bucket = client.bucket("first-bucket")
    bucket.labels = {"team": "data"}
    bucket.default_kms_key_name = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
    bucket.soft_delete_policy.retention_duration_seconds = 0
    bucket.create(location="europe-west3")
    read = client.get_bucket("first-bucket")
    assert (read.location, read.location_type, read.storage_class) == ("EUROPE-WEST3", "region", "STANDARD")
    assert (read.labels, read.metageneration, read.versioning_enabled) == ({"team": "data"}, 1, False)
    assert read.default_kms_key_name == "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
    assert read.soft_delete_policy.retention_duration_seconds == 0
    blob = read.blob("encrypted")
    blob.upload_from_string(b"x")
    assert blob.kms_key_name == "projects/p/locations/eu/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
    assert client.create_bucket("second-bucket").location == "US"


def test_buckets_are_listed_in_pages(client: Any, http: Http) -> None:
    for name in ("page-c", "page-aa", "page-b", "page-ab"):
        http.bucket(name)
    pages = client.list_buckets(prefix="page-", page_size=3)
    assert [[bucket.name for bucket in page] for page in pages.pages] == [["page-aa", "page-ab", "page-b"], ["page-c"]]
    assert [bucket.name for bucket in client.list_buckets(prefix="page-a")] == ["page-aa", "page-ab"]


def test_a_bucket_exists_once_and_goes_when_it_is_empty(client: Any) -> None:
    bucket = client.create_bucket("once")
    with pytest.raises(Conflict):
        client.create_bucket("once")
    bucket.blob("x").upload_from_string(b"x")
    with pytest.raises(Conflict, match="not empty"):
        bucket.delete()
    bucket.delete_blob("x")
    bucket.delete()
    with pytest.raises(NotFound):
        client.get_bucket("once")
    with pytest.raises(NotFound):
        bucket.delete()
    with pytest.raises(NotFound):
        bucket.blob("x").upload_from_string(b"x")


@pytest.mark.parametrize("name", ["", "ab", "UPPER", ".bqdump-local", "a..b", "../up", "a/b", "x" * 64])
def test_bad_bucket_names_are_refused(http: Http, name: str) -> None:
    assert http.call("POST", "b", json={"name": name}).status_code == 400


def test_a_patch_of_a_bucket_has_preconditions(client: Any, http: Http) -> None:
    bucket = client.create_bucket("patched")
    bucket.labels = {"a": "1", "b": "2"}
    bucket.patch(if_metageneration_match=1)
    assert http.call("PATCH", "b/patched", json={}, params={"ifMetagenerationMatch": 1}).status_code == 412
    assert http.call("GET", "b/patched", params={"ifMetagenerationNotMatch": 2}).status_code == 304
    assert http.call("DELETE", "b/patched", params={"ifMetagenerationMatch": 1}).status_code == 412
    assert http.call("PATCH", "b/patched", json={"labels": {"a": None}}).json()["labels"] == {"b": "2"}


def test_a_retention_policy_protects_young_objects(http: Http) -> None:
    http.bucket("retained", retentionPolicy={"retentionPeriod": "3600"})
    made = http.put("retained", "x")
    assert made["retentionExpirationTime"] > made["timeCreated"]
    http.bucket("free")
    http.put("free", "y")
    path = path_of("retained", "x")
    refused = [
        http.call("DELETE", path),
        http.upload("retained", "x"),
        http.start_resumable("retained", "x"),
        http.call("POST", f"{path_of('free', 'y')}/rewriteTo/{path}"),
        http.call("POST", f"{path}/compose", json={"sourceObjects": [{"name": "x"}]}),
        http.call("POST", f"{path}/moveTo/o/elsewhere"),
    ]
    for response in refused:
        assert response.status_code == 403
        assert response.json()["error"]["errors"][0]["reason"] == "retentionPolicyNotMet"
    assert http.call("PATCH", path, json={"metadata": {"a": "b"}}).ok
    assert http.call("GET", path_of("retained", "elsewhere")).status_code == 404
    http.call("PATCH", "b/retained", json={"retentionPolicy": None}).raise_for_status()
    assert http.call("DELETE", path).status_code == 204


def test_an_object_on_hold_is_protected(http: Http) -> None:
    http.bucket("holds")
    http.put("holds", "x")
    http.call("PATCH", path_of("holds", "x"), json={"temporaryHold": True}).raise_for_status()
    assert http.call("DELETE", path_of("holds", "x")).status_code == 403
    http.call("PATCH", path_of("holds", "x"), json={"temporaryHold": False}).raise_for_status()
    assert http.call("DELETE", path_of("holds", "x")).status_code == 204


def test_a_bucket_may_put_every_new_object_on_hold(http: Http) -> None:
    http.bucket("held", defaultEventBasedHold=True)
    assert http.put("held", "x")["eventBasedHold"] is True
    for refused in (http.call("DELETE", path_of("held", "x")), http.upload("held", "x")):
        assert refused.status_code == 403
        assert refused.json()["error"]["errors"][0]["reason"] == "objectUnderActiveHold"


def deny(http: Http, **buckets: list[str]) -> None:
    http.call("PUT", "/_local/denied", json={"buckets": buckets}).raise_for_status()


def test_denied_access_speaks_like_the_service(client: Any, http: Http) -> None:
    bucket = client.create_bucket("denied")
    bucket.blob("old").upload_from_string(b"x")
    deny(http, denied=["storage.objects.create"])
    wording = (
        "does not have storage.objects.create access to the Google Cloud Storage object. "
        r"Permission 'storage.objects.create' denied on resource \(or it may not exist\)\."
    )
    with pytest.raises(Forbidden, match=wording):
        bucket.blob("new").upload_from_string(b"x")
    assert bucket.blob("old").download_as_bytes() == b"x"
    deny(http, denied=["storage.objects.list"])
    with pytest.raises(Forbidden, match=r"storage\.objects\.list access to the Google Cloud Storage bucket"):
        list(client.list_blobs("denied"))
    http.call("DELETE", "/_local/denied").raise_for_status()
    assert [blob.name for blob in client.list_blobs("denied")] == ["old"]


DENIED = {
    "storage.objects.create": ["upload", "resumable", "copy", "compose", "move"],
    "storage.objects.delete": ["delete", "overwrite"],
    "storage.objects.get": ["get", "download", "copy", "compose"],
    "storage.objects.update": ["patch"],
    "storage.objects.list": ["list"],
    "storage.objects.move": ["move"],
    "storage.buckets.get": ["bucket"],
    "storage.buckets.update": ["patch bucket"],
    "storage.buckets.delete": ["delete bucket"],
}


@pytest.mark.parametrize("permission", DENIED)
def test_each_permission_guards_its_methods(http: Http, permission: str) -> None:
    bucket = http.bucket(f"guarded.{permission.lower()}")
    http.put(bucket, "x")
    deny(http, **{bucket: [permission]})
    path = path_of(bucket, "x")
    statuses = {
        "upload": http.upload(bucket, "new"),
        "overwrite": http.upload(bucket, "x"),
        "resumable": http.start_resumable(bucket, "later"),
        "get": http.call("GET", path),
        "download": http.call("GET", path, params={"alt": "media"}),
        "patch": http.call("PATCH", path, json={}),
        "copy": http.call("POST", f"{path}/copyTo/{path_of(bucket, 'copy')}"),
        "compose": http.call("POST", f"{path_of(bucket, 'joined')}/compose", json={"sourceObjects": [{"name": "x"}]}),
        "list": http.call("GET", f"b/{bucket}/o"),
        "bucket": http.call("GET", f"b/{bucket}"),
        "patch bucket": http.call("PATCH", f"b/{bucket}", json={}),
        "delete bucket": http.call("DELETE", f"b/{bucket}"),
        "move": http.call("POST", f"{path}/moveTo/o/moved"),
        "delete": http.call("DELETE", path_of(bucket, "x")),
    }
    denied = {name for name, response in statuses.items() if response.status_code == 403}
    # Without the right to create, there is nothing to overwrite with either.
    assert denied - {"overwrite"} == set(DENIED[permission]) - {"overwrite"}
    assert ("overwrite" in denied) == (permission in {"storage.objects.create", "storage.objects.delete"})


def test_permissions_can_be_tested(client: Any, http: Http) -> None:
    bucket = client.create_bucket("tested")
    requested = ["storage.objects.create", "storage.objects.delete", "storage.objects.get"]
    assert bucket.test_iam_permissions(requested) == requested
    deny(http, tested=["storage.objects.delete"])
    assert bucket.test_iam_permissions(requested) == ["storage.objects.create", "storage.objects.get"]
    deny(http, **{"*": requested})
    assert bucket.test_iam_permissions(requested) == []
    assert http.call("GET", "b/absent/iam/testPermissions").status_code == 404
    assert http.call("PUT", "/_local/denied", json={"buckets": ["x"]}).status_code == 400


def test_a_policy_without_its_time_gets_one(http: Http) -> None:
    policy = {"retentionDurationSeconds": 0, "effectiveTime": None}
    made = http.call("POST", "b", json={"name": "timed", "softDeletePolicy": policy}).json()["softDeletePolicy"]
    assert made["retentionDurationSeconds"] == "0"
    assert made["effectiveTime"].endswith("Z")


def test_a_locked_retention_policy_can_only_be_lengthened(http: Http) -> None:
    made = http.call("POST", "b", json={"name": "locked", "retentionPolicy": {"retentionPeriod": 10}}).json()
    assert "isLocked" not in made["retentionPolicy"]
    lock = {"ifMetagenerationMatch": made["metageneration"]}
    assert http.call("POST", "b/locked/lockRetentionPolicy").status_code == 400
    assert http.call("POST", "b/locked/lockRetentionPolicy", params={"ifMetagenerationMatch": "9"}).status_code == 412
    assert http.call("POST", "b/locked/lockRetentionPolicy", params=lock).json()["retentionPolicy"]["isLocked"] is True
    for body in ({"retentionPolicy": None}, {"retentionPolicy": {"retentionPeriod": "9"}}):
        assert http.call("PATCH", "b/locked", json=body).status_code == 403
    longer = http.call("PATCH", "b/locked", json={"retentionPolicy": {"retentionPeriod": "11"}}).json()
    assert (longer["retentionPolicy"]["retentionPeriod"], longer["retentionPolicy"]["isLocked"]) == ("11", True)
