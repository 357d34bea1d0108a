"""Locked copies of a set in S3: whatever is put over its documents, or hides them, decides nothing and is named."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from botocore.session import Session

from bqdump.adapters.s3.requests import generation_of
from bqdump.core.documents.layout import Layout
from bqdump.core.times import rfc3339
from integration.stage import Stage
from integration.test_sets import DATASETS, EVERY, TABLES, fill
from integration.test_vault_in_s3 import KEEP, Vault
from s3_server import S3Server, s3_server

AT = {"SOURCE_DATASET": "*"}
STATE = "sales/_bqdump"
SIGN, TRUST = ("--sign", "copier.key"), ("--trust", "copier.pub")


@pytest.fixture(scope="module")
def served() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def vault(served: S3Server, stage: Stage) -> Vault:
    """A bucket with Object Lock, and the signed copies of two nights of a set."""
    fill(stage)
    client = Session().create_client("s3", endpoint_url=served.address)
    made = Vault(client, f"{stage.bucket}-vault")
    client.create_bucket(Bucket=made.bucket, ObjectLockEnabledForBucket=True)
    assert stage.command("keys", "new", "copier").code == 0
    for run in ("one", "two"):
        night(stage, made, run)
    return made


def night(stage: Stage, vault: Vault, run: str) -> None:
    assert stage.run("--run-id", run, *KEEP, "--incremental", env=EVERY).code == 0
    called = stage.command("copy", vault.at[1], "--lock", "35d", *SIGN, env=EVERY)
    assert called.code == 0, called.text


def put(vault: Vault, name: str, data: bytes | None) -> str:
    """The id of the version that is put over an object, or of the marker that hides it."""
    if data is None:
        version = vault.s3.delete_object(Bucket=vault.bucket, Key=name)["VersionId"]
    else:
        version = vault.s3.put_object(Bucket=vault.bucket, Key=name, Body=data, ChecksumAlgorithm="CRC32")["VersionId"]
    return str(version)


def entry_of(vault: Vault, state: str, run: str) -> str:
    """The name of the entry of a run in the log of a dataset."""
    (name,) = [name for name in vault.versions() if name.startswith(f"{state}/log/") and name.endswith(f"-{run}.json")]
    return name


def pointer_of(vault: Vault, run: str) -> str:
    """The name of the pointer to a run of the set."""
    (name,) = [name for name in vault.versions() if name.startswith(f"{STATE}/pointers/{run}.")]
    return name


def runs_of(called_out: str) -> set[str]:
    return {one["run"] for one in json.loads(called_out)["datasets"]}


def test_each_version_of_a_set_is_written_once_restores_and_is_pruned(
    stage: Stage, vault: Vault, served: S3Server
) -> None:
    assert {name: len(ids) for name, ids in vault.versions().items() if len(ids) != 1} == {}
    words = ("--into", "{dataset}_back", "--via", f"gs://{stage.bucket}/via", *TRUST)
    restored = stage.command("restore", *vault.at, *words, env=AT)
    assert restored.code == 0, restored.text
    for dataset in DATASETS:
        assert {table.table_id for table in stage.big.list_tables(f"{dataset}_back")} == set(TABLES)
    doctor = stage.command("doctor", *vault.at, env=AT)
    assert "it holds copies of a set of datasets of" in doctor.out, doctor.text
    served.end_locks(vault.bucket)
    called = stage.command("prune", *vault.at, "--keep-last", "1", "--yes", *TRUST, env=AT)
    assert called.code == 0, called.text
    left = [name for name in vault.versions() if name.startswith(f"{STATE}/")]
    assert not [name for name in left if "/one" in name]
    assert "DeleteMarkers" not in vault.s3.list_object_versions(Bucket=vault.bucket)
    assert stage.command("status", *vault.at, env=AT).code == 0


def test_what_is_put_over_the_documents_of_a_set_decides_nothing_and_is_named(stage: Stage, vault: Vault) -> None:
    (manifest,) = [
        name for name in vault.versions() if name.startswith(f"{STATE}/projects/two/") and "manifest" in name
    ]
    latest, found = (
        json.loads(vault.s3.get_object(Bucket=vault.bucket, Key=name)["Body"].read())
        for name in (f"{STATE}/latest.json", manifest)
    )
    one = latest | {"dataset": "sales", "manifest": f"{STATE}/runs/one/manifest.json", "locked": False}
    forged = {
        f"{STATE}/latest.json": json.dumps(one).encode(),
        f"{STATE}/project.json": b"junk",
        pointer_of(vault, "one"): None,
        manifest: json.dumps(found | {"datasets": found["datasets"][:1]}).encode(),
    }
    for name, data in forged.items():
        version = put(vault, name, data)
        verified = stage.command("verify", "--json", *vault.at, *TRUST, env=AT)
        assert (verified.code, runs_of(verified.out)) == (4, {"two"}), verified.text
        assert f"--key {name} --version-id {version}" in verified.out, verified.text
        words = ("restore", "--into", "{dataset}_back", "--plan", "--json", "--via", f"gs://{stage.bucket}/via")
        called = stage.command(*words, *vault.at, *TRUST, env=AT)
        assert (called.code, json.loads(called.out)["run"]) == (0, "two"), called.text
        vault.s3.delete_object(Bucket=vault.bucket, Key=name, VersionId=version, BypassGovernanceRetention=True)
    assert stage.command("verify", *vault.at, *TRUST, env=AT).code == 0


def test_the_place_of_a_set_does_not_become_that_of_one_of_its_datasets(stage: Stage, vault: Vault) -> None:
    """Its signed manifest of the same run, stored above the folders, and other documents there that name it."""
    own = "sales/ops_eu/_bqdump"
    entry, to_set = entry_of(vault, own, "two"), pointer_of(vault, "two")
    entered, pointed = (
        json.loads(vault.s3.get_object(Bucket=vault.bucket, Key=name)["Body"].read()) for name in (entry, to_set)
    )
    names = {name: f"{STATE}/runs/two/{name}" for name in ("manifest.json", "signature.json")}
    for name, planted in names.items():
        data = vault.s3.get_object(Bucket=vault.bucket, Key=f"{own}/runs/two/{name}")["Body"].read()
        put(vault, planted, data)
    found = vault.s3.head_object(Bucket=vault.bucket, Key=names["manifest.json"])
    made = generation_of(found["ETag"], found["LastModified"])
    place = {"manifest": names["manifest.json"], "manifest_generation": made, "number": 99}
    pointer = pointed | {name: entered[name] for name in ("dataset", "snapshot", "snapshot_time")} | place
    put(vault, entry.replace(own, STATE), json.dumps(entered | {"generation": made}).encode())
    put(vault, f"{STATE}/pointers/two.json", json.dumps(pointer).encode())
    put(vault, f"{STATE}/latest.json", json.dumps(pointer).encode())
    called = stage.command("status", "--json", *vault.at, *TRUST, env={"SOURCE_DATASET": "ops_eu"})
    assert called.code == 0, called.text
    status = json.loads(called.out)
    assert (status["run"], len(status["datasets"])) == ("two", len(DATASETS))


def test_every_command_finds_what_was_signed_past_a_later_set_and_a_later_run_that_are_planted(
    stage: Stage, vault: Vault
) -> None:
    own = "sales/sales/_bqdump"
    (of_set,) = [name for name in vault.versions() if name.startswith(f"{STATE}/projects/two/") and "manifest" in name]
    to_set, to_own, digest = pointer_of(vault, "two"), entry_of(vault, own, "two"), "0" * 16
    taken = json.loads(vault.s3.get_object(Bucket=vault.bucket, Key=to_own)["Body"].read())["snapshot"]
    # An entry of a time to come would not count, whoever is trusted.
    for manifest, pointer, there, to, snapshot in (
        (of_set, to_set, f"{STATE}/projects/nine/{digest}/manifest.json", f"{STATE}/pointers/nine.{digest}.json",
         4102444800000),
        (f"{own}/runs/two/manifest.json", to_own, f"{own}/runs/nine/manifest.json",
         Layout("sales/sales/").entry("nine", taken + 1).name, taken + 1),
    ):  # fmt: skip
        later = {"run": "nine", "snapshot": snapshot, "snapshot_time": rfc3339(snapshot)}
        data, pointed = (
            json.loads(vault.s3.get_object(Bucket=vault.bucket, Key=name)["Body"].read())
            for name in (manifest, pointer)
        )
        put(vault, there, json.dumps(data | later, separators=(",", ":")).encode())
        found = vault.s3.head_object(Bucket=vault.bucket, Key=there)
        generation = generation_of(found["ETag"], found["LastModified"])
        # As many datasets as the set names of that run: none.
        to_manifest = {"manifest": there, "manifest_generation": generation, "number": 0}
        made = to_manifest if to.startswith(STATE) else {"generation": generation}
        put(vault, to, json.dumps(pointed | later | made).encode())
    via, one = ("--via", f"gs://{stage.bucket}/via"), ("--to", f"{vault.at[1]}/sales")
    counted = ("--command", "SELECT count(*) AS n FROM orders", "--json")
    for words, dataset, code, expected in (
        (("sql", *counted, *one, *TRUST), "sales", 0, '"n"'),
        (("drill", *via, *SIGN, *vault.at, *TRUST), "*", 0, "of run two"),
        (("restore", "--into", "{dataset}_new", *via, *vault.at, *TRUST), "*", 0, "of run two"),
        (("restore", "one", "--into", "{dataset}_old", *via, *vault.at, *TRUST), "*", 0, "of run one"),
        (("restore", "nine", "--into", "{dataset}_no", *via, *vault.at, *TRUST), "*", 4, "cannot trust run nine"),
        (("status", "two", *vault.at), "*", 0, "run two"),
        (("diff", "one", "two", *vault.at), "*", 0, ""),
        (("ls", "two", *vault.at), "*", 0, "Run two of 2 datasets"),
        (("runs", "--tag", "audit", "two", *vault.at), "*", 0, "audit"),
        (("erase", "sales.orders", "--reason", "a request", *vault.at), "*", 2, "is locked"),
        (("prune", "--keep-last", "1", "--yes", *vault.at, *TRUST), "*", 0, "kept: published"),
        (("prune", "--keep-last", "1", "--yes", *vault.at), "*", 4, "--trust"),
    ):
        called = stage.command(*words, env={"SOURCE_DATASET": dataset})
        assert (called.code, expected in called.text) == (code, True), (words, called.text)
    verified = stage.command("verify", "--json", *vault.at, *TRUST, env=AT)
    assert (verified.code, runs_of(verified.out)) == (0, {"two"}), verified.text
