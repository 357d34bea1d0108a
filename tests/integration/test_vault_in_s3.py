"""Locked copies in S3: Object Lock keeps each version, whatever is put over it or hides it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError
from botocore.session import Session

from integration.stage import Stage
from s3_server import S3Server, s3_server

KEEP = ("--path", "{run}/{table}/{table}_*.{ext}")


@pytest.fixture(scope="module")
def served() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


class Vault(NamedTuple):
    """A client, and a bucket with Object Lock."""

    s3: Any
    bucket: str

    @property
    def at(self) -> tuple[str, str]:
        return "--to", f"s3://{self.bucket}/sales"

    def versions(self) -> dict[str, list[str]]:
        """The versions of each name that are stored, the newest first."""
        found: dict[str, list[str]] = {}
        for one in self.s3.list_object_versions(Bucket=self.bucket).get("Versions", []):
            found.setdefault(one["Key"], []).append(one["VersionId"])
        return found

    def entry(self, run: str) -> str:
        """The name of the entry of a run in the log."""
        (name,) = [name for name in self.versions() if "/log/" in name and name.endswith(f"-{run}.json")]
        return name


@pytest.fixture
def vault(served: S3Server, stage: Stage) -> Vault:
    """An empty bucket with a lock by default. Of one without: copying/test_thieves."""
    client = Session().create_client("s3", endpoint_url=served.address)
    bucket = f"{stage.bucket}-vault"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=configuration)
    return Vault(client, bucket)


def night(stage: Stage, vault: Vault, run: str, lock: str = "35d", *words: str) -> None:
    assert stage.run("--run-id", run, *KEEP, "--incremental").code == 0
    called = stage.command("copy", vault.at[1], "--lock", lock, *words)
    assert called.code == 0, called.text


def test_each_version_is_locked_and_written_once(stage: Stage, vault: Vault) -> None:
    stage.table("a")
    for run in ("one", "two", "three"):
        night(stage, vault, run)
    for name, ids in vault.versions().items():
        assert len(ids) == 1, name
        lock = vault.s3.head_object(Bucket=vault.bucket, Key=name, VersionId=ids[0])
        assert lock["ObjectLockMode"] == "GOVERNANCE"
        assert lock["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=34)
    called = stage.command("verify", "--read", *vault.at)
    assert called.code == 0, called.text
    assert "three" in stage.command("status", *vault.at).out
    pruned = stage.command("prune", *vault.at, "--keep-last", "1", "--yes")
    assert "kept: locked until" in pruned.out, pruned.text


def of_role(role: str) -> tuple[str, ...]:
    """The permissions of an account in S3, as the page about copies lists them."""
    page = (Path(__file__).parents[2] / "docs" / "internals" / "copying.md").read_text()
    (line,) = re.findall(rf"^\| {role} \|.*; S3: (.*) \|$", page, re.MULTILINE)
    return tuple(re.findall(r"`(s3:\w+)`", line))


def test_the_copier_and_the_pruner_get_by_with_the_permissions_that_the_page_lists(
    stage: Stage, vault: Vault, served: S3Server
) -> None:
    stage.table("a")
    night(stage, vault, "one")
    assert stage.run("--run-id", "two", *KEEP, "--incremental").code == 0
    copy = ("copy", vault.at[1], "--lock", "36d")
    prune = ("prune", *vault.at, "--keep-last", "1", "--yes")
    try:
        for missing in of_role("copier"):
            served.allowed = frozenset(of_role("copier")) - {missing}
            called = stage.command(*copy)
            # Without these, it cannot see that a lock is long enough, and extends it once more, or what others hide.
            spared = ("s3:GetObjectRetention", "s3:ListBucketVersions", "s3:GetObjectVersion")
            assert called.code == (0 if missing in spared else 5), (missing, called.text)
        served.allowed = frozenset(of_role("copier"))
        assert stage.command(*copy).code == 0
        called = stage.command(*prune)
        assert "kept: locked until" in called.out, called.text
        before = vault_names(served, vault)
        # As a thief: nothing that is locked goes, or is hidden.
        for name in before:
            for bypass in ({}, {"BypassGovernanceRetention": True}):
                with pytest.raises(ClientError):
                    vault.s3.delete_object(Bucket=vault.bucket, Key=name, **bypass)
        assert vault_names(served, vault) == before
        served.end_locks(vault.bucket)
        for missing in set(of_role("pruner")) - {"s3:ListBucketVersions", "s3:GetObjectVersion"}:
            served.allowed = frozenset(of_role("pruner")) - {missing}
            called = stage.command(*prune)
            assert called.code == 5 or "left: " in called.out, (missing, called.text)
        served.allowed = frozenset(of_role("pruner"))
        with pytest.raises(ClientError):
            vault.s3.put_object(Bucket=vault.bucket, Key="sales/new", Body=b"", ChecksumAlgorithm="CRC32")
        assert stage.command(*prune).code == 0
    finally:
        served.allowed = None
    assert not [name for name in vault.versions() if "/runs/one/" in name]
    assert stage.command("status", *vault.at).code == 0


def test_a_pruner_who_cannot_see_locks_hides_nothing(stage: Stage, vault: Vault, served: S3Server) -> None:
    stage.table("a")
    night(stage, vault, "one")
    night(stage, vault, "two")
    served.allowed = frozenset({*of_role("pruner"), "s3:DeleteObject"}) - {"s3:GetObjectRetention"}
    try:
        for words in ((), ("--yes",)):
            called = stage.command("prune", *vault.at, "--keep-last", "1", *words)
            assert called.code == 5, called.text
            assert "Requires s3:GetObjectRetention." in called.text
    finally:
        served.allowed = None
    called = stage.command("verify", "one", *vault.at)
    assert called.code == 0, called.text


def test_what_a_legal_hold_keeps_is_named_and_not_counted_as_removed(
    stage: Stage, vault: Vault, served: S3Server
) -> None:
    stage.table("a")
    for run in ("one", "two"):
        night(stage, vault, run)
    served.end_locks(vault.bucket)
    prune = ("prune", *vault.at, "--keep-last", "1", "--yes")
    for name in vault.versions():
        vault.s3.put_object_legal_hold(Bucket=vault.bucket, Key=name, LegalHold={"Status": "ON"})
    called = stage.command(*prune)
    assert "kept: held by the store" in called.out
    assert "Removed 0 runs (0 files, 0 B); 2 runs kept." in called.out
    report = next(name for name in vault.versions() if name.endswith("/one/report.html"))
    for name in vault.versions().keys() - {report}:
        vault.s3.put_object_legal_hold(Bucket=vault.bucket, Key=name, LegalHold={"Status": "OFF"})
    for _ in range(2):
        called = stage.command(*prune)
        assert (called.code, f"left: {report}" in called.out) == (0, True), called.text


def vault_names(served: S3Server, vault: Vault) -> list[str]:
    return [name for name in served.names(vault.bucket) if name.startswith("sales/")]


def test_what_a_delete_marker_hides_is_named_with_the_command_that_brings_it_back(stage: Stage, vault: Vault) -> None:
    stage.table("a")
    for run in ("one", "two"):
        night(stage, vault, run)
    state, via = "sales/_bqdump", f"gs://{stage.bucket}/via"
    (file,) = [name for name in vault.versions() if name.endswith(".csv") and "/two/" in name]
    entry = vault.entry("two")
    for name in (file, entry, f"{state}/runs/two/manifest.json"):
        marker = vault.s3.delete_object(Bucket=vault.bucket, Key=name)["VersionId"]
        called = stage.command("verify", *vault.at)
        back = f"aws s3api delete-object --bucket {vault.bucket} --key {name} --version-id {marker}"
        assert (called.code, back in called.out) == (4, True), called.text
        assert "hidden by a delete marker of 20" in called.text
        assert "its version is locked until 20" in called.text
        assert "run two" in called.out
        if name != file:
            assert back in stage.command("runs", *vault.at).err
            assert back in stage.command("restore", *vault.at, "--into", "back", "--via", via, "--plan").err
        words = shlex.split(back)
        address = {"Bucket": words[4], "Key": words[6], "VersionId": words[8]}
        vault.s3.delete_object(**address)
        assert stage.command("verify", *vault.at).code == 0


def test_where_a_bucket_locks_by_default_copies_that_are_not_locked_are_replaced_and_nobody_is_accused(
    stage: Stage, vault: Vault
) -> None:
    stage.table("a")
    for run in ("one", "two"):
        assert stage.run("--run-id", run, *KEEP).code == 0
        stage.command("copy", vault.at[1])
    assert len(vault.versions()["sales/_bqdump/latest.json"]) == 2
    shown = stage.command("status", *vault.at)
    assert (shown.code, "run two: published" in shown.out, shown.err) == (0, True, ""), shown


def test_what_is_put_over_the_documents_of_the_place_decides_nothing_and_is_named(stage: Stage, vault: Vault) -> None:
    stage.table("a")
    for run in ("one", "two"):
        night(stage, vault, run)
    project = ("--project", stage.project, "--via", f"gs://{stage.bucket}/via")
    one, two = vault.entry("one"), vault.entry("two")
    older = json.loads(vault.s3.get_object(Bucket=vault.bucket, Key=one)["Body"].read())
    back = json.dumps(older | {"locked": False}).encode()
    for name, data in ((two, back), (one, None)):
        if data is None:
            put = vault.s3.delete_object(Bucket=vault.bucket, Key=name)
        else:
            put = vault.s3.put_object(Bucket=vault.bucket, Key=name, Body=data, ChecksumAlgorithm="CRC32")
        remove = f"--key {name} --version-id {put['VersionId']}"
        verified = stage.command("verify", *vault.at)
        assert (verified.code, "run two" in verified.out, remove in verified.out) == (4, True, True), verified.text
        assert ("replaced by a version of 20" in verified.out) == (data is not None)
        for words in (("status",), ("runs",), ("restore", "--into", f"{stage.dataset}_back", "--plan", *project)):
            called = stage.command(*words, "--json", *vault.at)
            assert (called.code, remove in called.err) == (0, True), called.text
            shown = json.loads(called.out)
            published = [run["run"] for run in shown if run["published"]] if words == ("runs",) else [shown["run"]]
            assert published == ["two"], called.text
        pruned = stage.command("prune", "--keep-last", "1", "--yes", *vault.at)
        assert (pruned.code, "kept: locked until" in pruned.out) == (0, True), pruned.text
        vault.s3.delete_object(
            Bucket=vault.bucket, Key=name, VersionId=put["VersionId"], BypassGovernanceRetention=True
        )
    # Locked copies have none, and commands do not read it.
    vault.s3.put_object(Bucket=vault.bucket, Key="sales/_bqdump/latest.json", Body=back, ChecksumAlgorithm="CRC32")
    verified = stage.command("verify", *vault.at)
    assert (verified.code, "run two" in verified.out) == (0, True), verified.text


def test_copies_that_are_said_not_to_be_locked_get_no_other_copy(stage: Stage, vault: Vault) -> None:
    stage.table("a")
    night(stage, vault, "one")
    name = "sales/_bqdump/copies.json"
    place = json.loads(vault.s3.get_object(Bucket=vault.bucket, Key=name)["Body"].read())
    data = json.dumps(place | {"lock": ""}).encode()
    put = vault.s3.put_object(Bucket=vault.bucket, Key=name, Body=data, ChecksumAlgorithm="CRC32")
    before = vault.versions()
    called = stage.command("copy", vault.at[1])
    assert (called.code, f"--version-id {put['VersionId']}" in called.err) == (2, True), called.text
    assert vault.versions() == before
    night(stage, vault, "two")
