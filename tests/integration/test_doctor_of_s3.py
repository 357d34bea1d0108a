"""bqdump doctor --to s3://…: what a copy needs there, with an account that has some of it, and nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.session import Session

from bqdump.diagnosis import Diagnosis
from bqdump_reference.pages import schema
from integration.command import Called, call
from integration.stage import Stage
from json_schema import problems
from s3_server import BUCKET, Fault, S3Server, s3_server

DEST = f"s3://{BUCKET}/sales"
NEEDED = ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucketMultipartUploads")


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


def diagnosed(called: Called) -> dict[str, Any]:
    """The diagnosis as JSON, which fits its schema."""
    diagnosis: dict[str, Any] = json.loads(called.out)
    assert problems(diagnosis, json.loads(schema(Diagnosis))) == []
    return diagnosis


def outcomes(diagnosis: dict[str, Any], outcome: str) -> list[str]:
    """The permissions of the checks that ended so."""
    return [check["permission"] for check in diagnosis["checks"] if check["outcome"] == outcome and check["permission"]]


def test_an_account_with_every_permission_can_copy(s3: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    s3.allowed = frozenset(NEEDED)
    diagnosis = diagnosed(call(capsys, "doctor", "--to", DEST, "--json"))
    assert set(outcomes(diagnosis, "ok")) == set(NEEDED)
    assert not any(outcomes(diagnosis, outcome) for outcome in ("denied", "refused", "untried", "missing"))
    assert s3.names() == []
    out = call(capsys, "doctor", "--to", DEST).out
    assert "s3:AbortMultipartUpload, which is not tried" in " ".join(out.split())
    assert out.endswith("\nA copy can start.\n")


@pytest.mark.parametrize("lacking", NEEDED)
def test_a_missing_permission_is_named_in_the_words_of_s3(
    s3: S3Server, capsys: pytest.CaptureFixture[str], lacking: str
) -> None:
    s3.allowed = frozenset(NEEDED) - {lacking}
    called = call(capsys, "doctor", "--to", DEST, "--json")
    diagnosis = diagnosed(called)
    optional = lacking == "s3:ListBucketMultipartUploads"
    assert set(outcomes(diagnosis, "warning" if optional else "denied")) == {lacking}
    assert called.code == (0 if optional else 5)
    assert [name.rpartition("/")[0] for name in s3.names()] == (
        ["sales/_bqdump/doctor"] if lacking == "s3:DeleteObject" else []
    )


def test_a_place_with_something_else_is_refused_and_nothing_is_written(
    s3: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.put("sales/mine.txt", b"mine")
    called = call(capsys, "doctor", "--to", DEST)
    assert called.code == 2
    assert "it holds no copies of exports, and is not empty: it has sales/mine.txt" in " ".join(called.out.split())
    assert s3.names() == ["sales/mine.txt"]


def test_a_bucket_that_does_not_exist_is_missing(s3: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    called = call(capsys, "doctor", "--to", "s3://elsewhere/sales", "--json")
    assert (called.code, diagnosed(called)["verdict"]) == (5, "missing")
    assert s3.names() == []


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (405, "MethodNotAllowed")])
def test_a_service_that_does_not_list_uploads_is_a_warning(
    s3: S3Server, capsys: pytest.CaptureFixture[str], status: int, code: str
) -> None:
    s3.faults = [Fault("list uploads", status, code)]
    called = call(capsys, "doctor", "--to", DEST, "--json")
    assert (called.code, outcomes(diagnosed(called), "warning")) == (0, ["s3:ListBucketMultipartUploads"])
    assert s3.names() == []


def test_a_region_that_is_not_told_is_not_named(s3: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    s3.faults = [Fault("head bucket", 200, "")]
    checks = diagnosed(call(capsys, "doctor", "--to", DEST, "--json"))["checks"]
    assert [check["detail"] for check in checks if check["name"] == "see the bucket"] == [""]


def test_an_object_that_the_bucket_locks_by_itself_is_left_behind_with_a_warning(
    s3: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    client = Session().create_client("s3", endpoint_url=s3.address)
    client.create_bucket(Bucket="held", ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 365}}
    client.put_object_lock_configuration(
        Bucket="held", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    called = call(capsys, "doctor", "--to", "s3://held/sales", "--json")
    (left,) = s3.names("held")
    until = client.head_object(Bucket="held", Key=left)["ObjectLockRetainUntilDate"]
    assert (called.code, outcomes(diagnosed(called), "warning")) == (0, ["s3:DeleteObject"])
    (found,) = (check for check in json.loads(called.out)["checks"] if check["permission"] == "s3:DeleteObject")
    assert found["detail"] == f"the bucket locks each new object; left behind until {until:%FT%T.000Z}: {left}"


def test_nothing_is_written_where_copies_are_locked(
    s3: S3Server, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    vault = f"{stage.bucket}-vault"
    client = Session().create_client("s3", endpoint_url=s3.address)
    client.create_bucket(Bucket=vault, ObjectLockEnabledForBucket=True)
    stage.table("orders")
    assert stage.run("--path", "{run}/{table}/{table}_*.{ext}").code == 0
    assert stage.command("copy", f"s3://{vault}/sales", "--lock", "35d").code == 0
    before = s3.names(vault)
    called = call(capsys, "doctor", "--to", f"s3://{vault}/sales", "--json")
    assert called.code == 0
    assert set(outcomes(diagnosed(called), "untried")) == {
        "s3:PutObject", "s3:PutObjectRetention", "s3:GetObjectRetention",
    }  # fmt: skip
    assert s3.names(vault) == before
