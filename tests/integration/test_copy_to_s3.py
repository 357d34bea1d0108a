"""`bqdump copy` to S3 and back: every command works there, it is restored, killed and resumed, and damage is named."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from integration.stage import Stage
from integration.test_copy import killed
from s3_server import BUCKET, Fault, S3Server, s3_server

DEST = f"s3://{BUCKET}/sales"
AT = ("--to", DEST)
MANIFEST = "sales/_bqdump/runs/{}/manifest.json"


@pytest.fixture(scope="module")
def served() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(served: S3Server) -> S3Server:
    served.bucket()
    served.counts.clear()
    served.faults, served.flips = [], {}
    return served


def fill(stage: Stage, tables: int = 3) -> None:
    for number in range(tables):
        stage.table(f"t_{number}", rows=number + 2)


def copied(s3: S3Server, run: str = "r1") -> Manifest:
    name = MANIFEST.format(run)
    return decode(s3.data(name), Manifest, name)


def findings(stage: Stage, *arguments: str) -> list[tuple[str, str]]:
    """What verify finds in the copy: kind and file."""
    called = stage.command("verify", *AT, "--json", *arguments)
    assert called.code in (0, 4), called.text
    return [(one["kind"], one["file"].rpartition("/")[2]) for one in json.loads(called.out)["findings"]]


def test_every_command_works_on_a_copy_in_s3(stage: Stage, s3: S3Server) -> None:
    fill(stage)
    assert stage.run("--format", "parquet", execution="r1").code == 0
    called = stage.command("copy", DEST, "--dry-run")
    assert called.code == 0, called.text
    assert s3.names() == []
    assert stage.command("copy", DEST).code == 0
    stage.table("t_0", rows=9)
    assert stage.run("--format", "parquet", execution="r2").code == 0
    called = stage.command("copy", DEST)
    assert called.code == 0, called.text
    assert "Copied 3 files" in called.out
    digests = [file.sha256 for entry in copied(s3, "r2").tables for file in entry.files]
    assert len(digests) == 3
    assert all(digests)
    project = ("--project", stage.project)
    via = ("--via", f"gs://{stage.bucket}/via")
    for arguments, expected in (
        (("runs", *AT), "r1"),
        (("status", *AT), "r2"),
        (("verify", "r1", *AT), "Every file is there, with its size, checksum and generation"),
        (("verify", "--read", *AT), "Every file is there"),
        (("ls", *AT), "t_0"),
        (("diff", *AT), "t_0"),
        (("report", *AT, "-o", "page.html"), "page.html"),
        (("sql", "-c", "SELECT COUNT(*) AS rows FROM t_0", *AT), "9"),
        (("restore", "--into", f"{stage.project}.restored", *AT, *project, *via), "restored"),
        (("drill", *AT, *project, *via), "is restorable"),
        (("runs", "r1", "--tag", "audit", *AT), "audit"),
        (("prune", "--keep-last", "1", *AT, *project), "r1"),
        (("prune", "--keep-last", "1", "--now", "--yes", *AT, *project), "Removed 1 run"),
        (("verify", *AT), "Every file is there, with its size, checksum and generation"),
    ):
        called = stage.command(*arguments)
        assert called.code == 0, called.text
        assert expected in called.text, called.text
    assert stage.sql(f"SELECT COUNT(*) FROM `{stage.project}.restored.t_0`") == [(9,)]
    assert not [name for name in s3.names() if "r1" in name.split("/")]


def test_what_is_recorded_is_not_asked_for_again(stage: Stage, s3: S3Server) -> None:
    """A run of more files than are looked at one by one: its listings have no checksums."""
    fill(stage, tables=40)
    assert stage.run(execution="r1").code == 0
    assert stage.command("copy", DEST).code == 0
    for arguments in (("copy", DEST), ("verify", *AT), ("copy", str(stage.folder / "back"), *AT)):
        s3.counts.clear()
        called = stage.command(*arguments)
        assert called.code == 0, called.text
        assert s3.counts["head"] < 15, (arguments, s3.counts)
    # Without the manifest, each file is asked for, and none is moved again.
    name = MANIFEST.format("r1")
    for one in (name, *(one for one in s3.names() if "/_bqdump/log/" in one or one.endswith("/latest.json"))):
        s3.delete(one)
    s3.counts.clear()
    called = stage.command("copy", DEST)
    assert called.code == 0, called.text
    assert "Copied 0 files" in called.out
    assert findings(stage) == []


def test_a_dataset_restored_from_s3_equals_the_exported_one(stage: Stage, s3: S3Server) -> None:
    stage.sql(
        "CREATE TABLE cells AS SELECT n AS id, CONCAT('ü', CAST(n AS STRING)) AS name, n / 7 AS part, "
        "DATE '2026-01-01' AS day, CAST(n AS NUMERIC) AS amount, n > 3 AS large "
        "FROM UNNEST(GENERATE_ARRAY(1, 500)) AS n"
    )
    stage.sql(f"CREATE VIEW seen AS SELECT id FROM `{stage.project}.{stage.dataset}.cells`")
    assert stage.run("--format", "csv", "--compression", "gzip", execution="r1").code == 0
    assert stage.command("copy", DEST).code == 0
    into, via = f"{stage.project}.restored", ("--via", f"gs://{stage.bucket}/via")
    called = stage.command("restore", "--into", into, *AT, "--project", stage.project, *via, "--verify")
    assert called.code == 0, called.text
    source = f"`{stage.project}.{stage.dataset}.cells`"
    for one, other in ((source, f"`{into}.cells`"), (f"`{into}.cells`", source)):
        assert stage.sql(f"SELECT * FROM {one} EXCEPT DISTINCT SELECT * FROM {other}") == []
    assert stage.sql(f"SELECT COUNT(*) FROM `{into}.cells`") == [(500,)]


def test_copies_to_s3_that_are_killed_at_random_are_completed_by_the_same_command(stage: Stage, s3: S3Server) -> None:
    fill(stage, tables=12)
    assert stage.run(execution="r1").code == 0
    dice, hits = random.Random(3), 0
    for number in range(3):
        dest, prefix = f"s3://{BUCKET}/copy-{number}", f"copy-{number}/"

        def objects(prefix: str = prefix) -> int:
            return sum(name.startswith(prefix) for name in s3.names())

        hits += killed(stage, dest, objects, dice.randrange(2, 20), tasks=1 + number % 4)
        completed = stage.command("copy", dest)
        assert completed.code == 0, completed.text
        verified = stage.command("verify", "--to", dest, "--json", "--read")
        assert json.loads(verified.out)["findings"] == []
    assert hits
    assert s3.uploads() == []


def test_bad_input_is_one_sentence_and_changes_nothing(stage: Stage, s3: S3Server) -> None:
    fill(stage)
    assert stage.run(execution="r1").code == 0
    expired = Fault("get", 400, "ExpiredToken", times=9)
    denied, skewed = expired._replace(status=403, code="AccessDenied"), expired._replace(code="RequestTimeTooSkewed")
    unwritable = denied._replace(operation="put")
    region = (("x-amz-bucket-region", "eu-west-1"),)
    elsewhere = expired._replace(code="AuthorizationHeaderMalformed", headers=region)
    cases: list[tuple[tuple[str, ...], int, str, list[Fault]]] = [
        (("copy", "s3://nowhere/x"), 5, "no such bucket", []),
        (("copy", "s3://"), 2, "expected gs://BUCKET/PREFIX, s3://BUCKET/PREFIX or a local folder", []),
        (("copy", DEST, *AT), 2, "it is the export that is to be copied", []),
        (("copy", DEST), 5, "cannot sign in to S3: the credentials have expired", [expired]),
        (("copy", DEST), 5, "Requires s3:GetObject, s3:PutObject", [denied]),
        (("copy", DEST), 5, "cannot write s3://bucket/sales/_bqdump/copies.json: said no", [unwritable]),
        (("copy", DEST), 5, "the bucket is in region eu-west-1. Set AWS_REGION", [elsewhere]),
        (("copy", DEST), 5, "the clock of this machine differs too much from the service's", [skewed]),
        (("copy", DEST, "--endpoint", "ftp://x"), 2, "expected an address such as https://minio.example.com:9000", []),
        (("run", *AT), 2, "exports cannot be written there directly", []),
        (("plan", *AT), 2, "exports cannot be written there directly", []),
        (("restore", "--into", f"{stage.project}.r", *AT), 2, "and this is another service. Name a bucket", []),
    ]
    for arguments, code, message, faults in cases:
        s3.faults = faults
        called = stage.command(*arguments)
        assert message in called.text, called.text
        assert called.code == code, called.text
        assert len(called.errors) == 1, called.text
    assert s3.names() == []
