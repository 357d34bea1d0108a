"""Thieves at a vault in S3, where a locked object can be hidden, or another put over it: what is locked is read."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import google_crc32c
import pytest
from botocore.session import Session

from bqdump.adapters.s3.requests import generation_of
from forged import with_checksum_of
from integration.command import Called
from integration.stage import Stage
from s3_server import S3Server, s3_server

STATE = "sales/_bqdump"
SIGN, TRUST = ("--sign", "copier.key"), ("--trust", "copier.pub")


@pytest.fixture(scope="module")
def served() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


class Vault(NamedTuple):
    """A place of locked, signed copies of two runs, and what puts over objects, or hides them."""

    s3: Any
    bucket: str
    stage: Stage

    @property
    def at(self) -> tuple[str, str]:
        return "--to", f"s3://{self.bucket}/sales"

    def names(self) -> list[str]:
        """Those that are locked, whatever is over them."""
        found = self.s3.list_object_versions(Bucket=self.bucket)["Versions"]
        return sorted({one["Key"] for one in found})

    def data(self, name: str) -> bytes:
        data: bytes = self.s3.get_object(Bucket=self.bucket, Key=name)["Body"].read()
        return data

    def put(self, name: str, data: bytes) -> int:
        """Put over an object; the generation of what is there now."""
        checksum = base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
        summed = {"ChecksumAlgorithm": "CRC32C", "ChecksumCRC32C": checksum}
        self.s3.put_object(Bucket=self.bucket, Key=name, Body=data, **summed)
        found = self.s3.head_object(Bucket=self.bucket, Key=name)
        return generation_of(found["ETag"], found["LastModified"])

    def hide(self, name: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=name)

    def command(self, *words: str) -> Called:
        return self.stage.command(*words, *self.at)


@pytest.fixture
def vault(served: S3Server, stage: Stage) -> Vault:
    client = Session().create_client("s3", endpoint_url=served.address)
    bucket = f"{stage.bucket}-vault"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    stage.table("a")
    assert stage.command("keys", "new", "copier").code == 0
    vault = Vault(client, bucket, stage)
    for run in ("older", "yesterday"):
        assert stage.run("--run-id", run, "--path", "{run}/{table}/{table}_*.{ext}").code == 0
        called = stage.command("copy", vault.at[1], "--lock", "35d", *SIGN)
        assert called.code == 0, called.text
    return vault


def over(vault: Vault) -> None:
    """Put something over each object; over data, what has its size and CRC32C."""
    for name in vault.names():
        data = vault.data(name)
        vault.put(name, with_checksum_of(data, b"id,name\n1,mallory\n") if name.endswith(".csv") else b"junk")


def consistently(vault: Vault) -> None:
    """Another file, a manifest that names it, and an entry that names that; no signature, nor any later entry."""
    run, (name,) = "yesterday", [name for name in vault.names() if name.startswith("sales/yesterday/")]
    generation = vault.put(name, with_checksum_of(vault.data(name), b"id,name\n1,mallory\n"))
    manifest = json.loads(vault.data(f"{STATE}/runs/{run}/manifest.json"))
    manifest["tables"][0]["files"][0] |= {"generation": generation, "sha256": ""}
    encoded = json.dumps(manifest, separators=(",", ":")).encode()
    (entry,) = [name for name in vault.names() if "/log/" in name and name.endswith(f"-{run}.json")]
    forged = json.loads(vault.data(entry))
    forged["generation"] = vault.put(f"{STATE}/runs/{run}/manifest.json", encoded)
    vault.put(entry, json.dumps(forged).encode())
    vault.hide(f"{STATE}/runs/{run}/signature.json")


def touched(vault: Vault) -> set[str]:
    """The names of objects that were put over another one, or are hidden."""
    found = vault.s3.list_object_versions(Bucket=vault.bucket)
    every = [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in found.get(kind, ())]
    return {name for name in every if every.count(name) > 1}


def test_where_nothing_is_forged_a_restore_lists_versions_of_documents_few_times_and_of_files_never(
    vault: Vault, served: S3Server
) -> None:
    counts = []
    for run in ((), ("yesterday",)):
        arrived: list[dict[str, Any]] = []
        served.arrived = arrived
        words = ("--project", vault.stage.project, "--via", f"gs://{vault.stage.bucket}/via", "--into", "back", *TRUST)
        called = vault.command("restore", *run, *words, "--replace")
        assert called.code == 0, called.text
        counts.append(sum("versions&" in one.get("QUERY_STRING", "") for one in arrived))
        served.arrived = None
    assert counts == [4, 3]


@pytest.mark.parametrize("attack", [over, consistently])
def test_yesterdays_run_restores_equal_and_each_forgery_is_named(
    attack: Callable[[Vault], None], vault: Vault, served: S3Server
) -> None:
    stage = vault.stage
    attack(vault)
    forged = touched(vault)
    assert forged
    for trust in ((), TRUST):
        called = vault.command("verify", "--read", "--json", *trust)
        verified = json.loads(called.out)
        # What is locked is complete; somebody has been there.
        assert (called.code, verified["run"], verified["read"]["files"]) == (4, "yesterday", 1), called.text
        assert {finding["kind"] for finding in verified["findings"]} == {"hidden"}, called.text
        named = {finding["file"] for finding in verified["findings"]}
        assert named == {name for name in forged if not name.startswith("sales/older/")}
    project, via = ("--project", stage.project), f"gs://{stage.bucket}/via"
    into = f"{stage.dataset}_restored"
    for run in ((), ("yesterday",)):
        restored = vault.command("restore", *run, "--into", into, "--via", via, *project, *TRUST, "--replace")
        assert restored.code == 0, restored.text
        assert "is hidden by a delete marker" in restored.err or "is replaced by a version" in restored.err
        tables = (f"`{stage.project}.{dataset}.a` ORDER BY id" for dataset in (stage.dataset, into))
        before, after = (stage.sql(f"SELECT * FROM {table}") for table in tables)
        assert before == after
    asked = vault.command("sql", "-c", "SELECT count(*) AS n FROM a WHERE name = 'mallory'", "--json", *TRUST)
    assert (asked.code, json.loads(asked.out)["rows"]) == (0, [[0]]), asked.text
    drilled = vault.command("drill", *project, "--via", via, *TRUST)
    assert (drilled.code, "1 of 1 table" in drilled.out) == (0, True), drilled.text
    # A copy of the copy has what is locked.
    copied = vault.command("copy", "./again", *TRUST)
    assert copied.code == 0, copied.text
    again = stage.command("verify", "--read", "--to", "./again")
    assert again.code == 0, again.text
    runs = json.loads(vault.command("runs", "--json").out)
    assert [run["run"] for run in runs if run["published"]] == ["yesterday"]
    pruned = vault.command("prune", "--keep-last", "1", "--yes", *TRUST)
    assert (pruned.code, "kept: locked until" in pruned.out) == (0, True), pruned.text
    served.end_locks(vault.bucket)
    pruned = vault.command("prune", "--keep-last", "1", "--yes", "--json", *TRUST)
    assert (pruned.code, [run["run"] for run in json.loads(pruned.out)["runs"] if run["removed"]]) == (0, ["older"]), (
        pruned.text
    )
    left = [one["Key"] for one in vault.s3.list_object_versions(Bucket=vault.bucket)["Versions"]]
    assert not [name for name in left if "older" in name]
    assert json.loads(vault.command("verify", "--read", "--json", *TRUST).out)["read"]["files"] == 1
