"""Signed manifests: what a forger does to an export is named by whoever trusts a key."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from google.cloud import storage

from adapters.kms_server import DENIED, VERSION, kms_server
from bqdump.core.documents.document import STATE
from bqdump.core.documents.signature import Envelope
from bqdump.services import keys as key_services
from forged import with_checksum_of
from integration.command import Called, call_in
from integration.stage import Stage

KEEP = ("--path", "{run}/{table}/{table}_*.{ext}")


@pytest.fixture
def signing(stage: Stage) -> Stage:
    """A stage with a table and two pairs of keys: `signing` and `other`."""
    stage.table("a")
    for name in ("signing", "other"):
        assert stage.command("keys", "new", name).code == 0
    return stage


def export(stage: Stage, run: str, *words: str, **env: str) -> None:
    ran = stage.run("--run-id", run, *KEEP, *words, env=env)
    assert ran.code == 0, ran.err


def trusts(stage: Stage, *words: str, keys: str = "signing.pub", **env: str) -> Called:
    return stage.command("verify", *words, "--trust", keys, env=env)


def refused(called: Called, *words: str) -> None:
    assert called.code == 4, called
    for word in words:
        assert word in called.err
    assert "Traceback" not in called.err


def manifest_of(run: str) -> str:
    return f"{STATE}/runs/{run}/manifest.json"


def signature_of(run: str) -> str:
    return f"{STATE}/runs/{run}/signature.json"


def change(stage: Stage, name: str, **values: Any) -> None:
    """Rewrite a document as a forger would."""
    stage.upload(name, json.dumps(json.loads(stage.read(name)) | values).encode())


def renew(stage: Stage, run: str) -> None:
    """Let the entry of a run be about its manifest as it is stored now."""
    manifest = stage.store.bucket(stage.bucket).get_blob(manifest_of(run))
    digest = hashlib.sha256(stage.read(manifest_of(run))).hexdigest()
    change(stage, stage.entry(run), generation=int(manifest.generation), digest=digest)


def test_a_forged_manifest_is_named_although_it_fits_its_files(signing: Stage) -> None:
    export(signing, "one", "--sign", "signing.key")
    manifest = json.loads(signing.read(manifest_of("one")))
    (table,) = manifest["tables"]
    (file,) = table["files"]
    forged = b"id,name\n1,mallory\n2,mallory\n3,mallory\n"
    signing.upload(file["name"], forged)
    blob = signing.store.bucket(signing.bucket).get_blob(file["name"])
    file |= {"size": len(forged), "crc32c": blob.crc32c, "generation": int(blob.generation)}
    table["bytes"] = manifest["totals"]["bytes"] = len(forged)
    signing.upload(manifest_of("one"), json.dumps(manifest).encode())
    renew(signing, "one")
    assert signing.command("verify").code == 0
    refused(trusts(signing), "cannot trust run one", "is not the manifest that was signed", "changed or replaced")
    into = ("--into", f"{signing.project}.restored")
    refused(signing.command("restore", *into, "--trust", "signing.pub"), "cannot trust run one")
    refused(signing.command("sql", "-c", "SELECT 1", "--trust", "signing.pub"), "cannot trust run one")
    refused(signing.command("drill", "--trust", "signing.pub"), "cannot trust run one")


def test_a_file_in_a_folder_is_compared_with_more_than_its_size_checksum_and_time(signing: Stage) -> None:
    export(signing, "one", "--to", "out", "--sign", "signing.key")
    (file,) = json.loads((signing.folder / "out" / manifest_of("one")).read_bytes())["tables"][0]["files"]
    path = signing.folder / "out" / file["name"]
    before, data = path.stat(), path.read_bytes()
    path.write_bytes(with_checksum_of(data, b"id,name\n1,mallory\n"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    called = trusts(signing, "--to", "out", "--read")
    assert (called.code, file["name"] in called.out, "SHA-256" in called.out) == (4, True, True), called
    into = ("--into", f"{signing.project}.restored", "--via", f"gs://{signing.bucket}/via")
    called = signing.command("restore", "--to", "out", *into, "--trust", "signing.pub")
    assert (called.code, "the SHA-256 of " in called.text) == (3, True), called
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert trusts(signing, "--to", "out", "--read").code == 0
    assert signing.command("restore", "--to", "out", *into, "--trust", "signing.pub").code == 0


def test_evidence_names_only_the_signatures_that_a_trusted_key_has_made(signing: Stage) -> None:
    export(signing, "one", "--sign", "signing.key")
    envelope = msgspec.json.decode(signing.read(signature_of("one")), type=Envelope)
    # Whoever may write to the bucket may add one under any name.
    renamed = msgspec.structs.replace(envelope.signatures[0], keyid="the thief")
    signatures = (*envelope.signatures, renamed, msgspec.structs.replace(renamed, sig=bytes(64)))
    signing.upload(signature_of("one"), msgspec.json.encode(msgspec.structs.replace(envelope, signatures=signatures)))
    called = signing.command("report", "one", "--drill", "-o", "page.html", "--trust", "signing.pub")
    assert called.code == 0, called.text
    page = (signing.folder / "page.html").read_text()
    assert f"{envelope.signatures[0].keyid}: trusted" in page
    assert "the thief" not in page


def test_an_export_of_another_dataset_is_named(signing: Stage) -> None:
    """Signed by the same key, and complete with its files."""
    other = f"{signing.dataset}_other"
    signing.big.create_dataset(other)
    signing.sql(f"CREATE TABLE `{signing.project}.{other}.a` AS SELECT 1 AS id, 'x' AS name")
    export(signing, "one", "--sign", "signing.key")
    elsewhere = f"{signing.bucket}-other"
    signing.store.create_bucket(elsewhere)
    export(signing, "one", "--sign", "signing.key", SOURCE_DATASET=other, DESTINATION_BUCKET=elsewhere)
    for name in (manifest_of("one"), signature_of("one")):
        signing.upload(name, signing.store.bucket(elsewhere).blob(name).download_as_bytes(raw_download=True))
    refused(trusts(signing), f"dataset {signing.project}.{other}", f"gs://{elsewhere}", f"not of {signing.dataset}")
    nameless = {name: value for name, value in signing.variables.items() if name != "SOURCE_DATASET"}
    verify = ("verify", "--trust", "signing.pub")
    found = call_in(signing.folder, nameless, *verify)
    refused(found, f"dataset {signing.project}.{other}", f"gs://{elsewhere}", "If it was moved here on purpose")
    # In a bucket that another tool has mirrored, the manifest is trusted, and nothing says what the files contain.
    mirror = f"{signing.bucket}-mirror"
    signing.store.create_bucket(mirror)
    for blob in signing.store.list_blobs(elsewhere):
        signing.store.bucket(mirror).blob(blob.name).upload_from_string(blob.download_as_bytes(raw_download=True))
    refused(call_in(signing.folder, nameless, *verify, "--bucket", mirror), f"read from gs://{mirror}/")
    named = nameless | {"SOURCE_DATASET": other}
    refused(call_in(signing.folder, named, *verify, "--bucket", mirror), "written again", "made with --sign")


def test_a_set_is_signed_and_its_datasets_cannot_take_each_others_place(
    signing: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"{signing.dataset}_other"
    signing.big.create_dataset(other)
    signing.sql(f"CREATE TABLE `{signing.project}.{other}.a` AS SELECT 1 AS id, 'x' AS name")
    both = f"{signing.dataset},{other}"
    export(signing, "one", "--sign", "signing.key", SOURCE_DATASET=both)
    recent, now = ("--newest-within", "26h"), time.time()
    assert trusts(signing, *recent, SOURCE_DATASET=both).code == 0
    with monkeypatch.context() as later:
        later.setattr(key_services, "time", SimpleNamespace(time=lambda: now + 48 * 3600))
        refused(trusts(signing, *recent, SOURCE_DATASET=both), "cannot trust run one")
    signing.store.bucket(signing.bucket).blob(f"{other}/{signature_of('one')}").delete()
    found = trusts(signing, SOURCE_DATASET=both)
    assert found.code == 4
    assert "it is not signed" in found.out + found.err
    listed = signing.command("runs", "--trust", "signing.pub", env={"SOURCE_DATASET": both})
    assert f"bqdump: run one of {other}: it is not signed\n" in listed.err
    assert f"run one of {signing.dataset}:" not in listed.err


def test_a_set_cannot_name_a_manifest_that_no_signature_belongs_to(signing: Stage) -> None:
    other = f"{signing.dataset}_other"
    signing.big.create_dataset(other)
    signing.sql(f"CREATE TABLE `{signing.project}.{other}.a` AS SELECT 1 AS id, 'x' AS name")
    both = f"{signing.dataset},{other}"
    export(signing, "one", "--sign", "signing.key", SOURCE_DATASET=both)
    forged = json.loads(signing.read(f"{other}/{manifest_of('one')}")) | {"labels": {"forged": "yes"}}
    signing.upload(f"{other}/{manifest_of('one/x')}", json.dumps(forged).encode())
    project = json.loads(signing.read(f"{STATE}/project.json"))
    entries = [entry | ({"run": "one/x"} if entry["dataset"] == other else {}) for entry in project["datasets"]]
    change(signing, f"{STATE}/project.json", datasets=entries)
    found = trusts(signing, SOURCE_DATASET=both)
    assert found.code == 4
    assert "no manifest is stored under such a name" in found.out + found.err


def test_a_copy_is_signed_by_its_own_key(signing: Stage) -> None:
    export(signing, "one", "--sign", "signing.key")
    assert signing.command("copy", "./plain").code == 0
    refused(trusts(signing, "--to", "plain"), "it is not signed")
    # Repeating it with a key signs what is there.
    assert signing.command("copy", "./plain", "--sign", "other.key").code == 0
    assert trusts(signing, "--to", "plain", keys="other.pub").code == 0
    # A second key signs as well; nothing is signed twice.
    for _ in range(2):
        assert signing.command("copy", "./plain", "--sign", "signing.key").code == 0
    assert trusts(signing, "--to", "plain").code == 0
    envelope = json.loads((signing.folder / "plain" / signature_of("one")).read_bytes())
    assert len(envelope["signatures"]) == 2


def test_a_copy_that_names_another_source_is_not_signed(signing: Stage) -> None:
    export(signing, "one")
    assert signing.command("copy", "./plain").code == 0
    manifest = signing.folder / "plain" / manifest_of("one")
    changed = json.loads(manifest.read_bytes())
    changed["copy_of"]["source"] = "gs://elsewhere"
    manifest.write_bytes(json.dumps(changed).encode())
    called = signing.command("copy", "./plain", "--sign", "signing.key")
    assert (called.code, "another run of this id" in called.err) == (2, True), called
    assert not (signing.folder / "plain" / signature_of("one")).exists()


def test_a_copy_by_rules_passes_over_old_runs_that_are_not_signed_and_names_them(signing: Stage) -> None:
    export(signing, "old")
    export(signing, "one", "--sign", "signing.key")
    for rule in ("--keep-last=1", "--keep-within=30d"):
        called = signing.command("copy", str(signing.folder / rule), rule, "--trust", "signing.pub", "--json")
        assert called.code == 0, called.text
        assert {run["run"]: run["state"] for run in json.loads(called.out)["runs"]} == {"one": "copied"}
        assert "old (it is not signed)" in called.err
    called = signing.command("copy", "./all", "--all", "--trust", "signing.pub")
    assert called.code == 3, called.text
    # A key that has signed none copies nothing, which is no success.
    called = signing.command("copy", "./none", "--keep-last=1", "--trust", "other.pub")
    refused(called, "cannot trust run one", "another key")


def test_a_copy_that_trusts_a_key_copies_what_it_has_signed_and_names_the_rest(signing: Stage) -> None:
    """Also where the newest run is not signed: otherwise, copies would come to an end without a word."""
    export(signing, "one", "--sign", "signing.key")
    export(signing, "two")
    trust = ("--trust", "signing.pub")
    published = signing.command("copy", str(signing.folder / "published"), *trust, "--json")
    assert published.code == 0, published.text
    assert [run["run"] for run in json.loads(published.out)["runs"]] == ["one"]
    assert "-two.json is not used: cannot trust run two: it is not signed" in published.err
    for words in (("--all",), ("--keep-last", "1")):
        there = signing.folder / words[0].strip("-")
        called = signing.command("copy", str(there), *words, *trust, "--json")
        assert called.code == 3, called.text
        copied = {run["run"]: (run["state"], run["problem"]) for run in json.loads(called.out)["runs"]}
        assert copied == {"one": ("copied", ""), "two": ("not copied", "it is not signed")}
        assert json.loads(signing.command("verify", "--json", "--to", str(there)).out)["run"] == "one"


def test_prune_deletes_the_signature_with_its_run(signing: Stage) -> None:
    for run in ("one", "two"):
        export(signing, run, "--sign", "signing.key")
    assert signing.command("prune", "--keep-last", "1", "--now", "--yes").code == 0
    assert not [name for name in signing.objects() if "/one/" in f"/{name}"]
    assert trusts(signing).code == 0


def test_a_key_in_a_variable_signs_and_appears_nowhere(signing: Stage) -> None:
    secret = (signing.folder / "signing.key").read_text()
    called = signing.run("--run-id", "one", *KEEP, "--sign", "env:KEY", "--verbose", env={"KEY": secret})
    assert called.code == 0, called.err
    assert trusts(signing).code == 0
    body = secret.splitlines()[1]
    assert body not in called.err + called.out
    assert not [name for name in signing.objects() if body.encode() in signing.read(name)]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("missing.key", ("missing.key", "no such file", "PEM file")),
        ("signing.pub", ("signing.pub", "public key", "the private one signs")),
        ("env:NOT_SET", ("env:NOT_SET", "variable is not set")),
        ("junk.key", ("junk.key", "not a PEM file")),
        ("damaged.key", ("damaged.key", "damaged")),
    ],
)
def test_a_key_that_cannot_sign_is_refused_before_anything_is_exported(
    key: str, words: tuple[str, ...], signing: Stage
) -> None:
    (signing.folder / "junk.key").write_text("junk")
    (signing.folder / "damaged.key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    ran = signing.run(*KEEP, "--sign", key)
    assert ran.code == 2
    for word in words:
        assert word in ran.err
    assert signing.objects() == {}


def test_a_key_itself_is_refused_and_not_repeated(signing: Stage) -> None:
    secret = (signing.folder / "signing.key").read_text()
    ran = signing.run(*KEEP, "--sign", secret)
    assert ran.code == 2
    assert "not the key itself" in ran.err
    assert secret.splitlines()[1] not in ran.err + ran.out
    refused_ = trusts(signing, keys="signing.key")
    assert refused_.code == 2
    assert "private key" in refused_.err


def test_keys_are_not_overwritten_and_only_their_owner_reads_them(signing: Stage) -> None:
    assert (signing.folder / "signing.key").stat().st_mode & 0o777 == 0o600
    again = signing.command("keys", "new", "signing")
    assert again.code == 2
    assert "it exists" in again.err
    nowhere = signing.command("keys", "new", "no/such/folder/key")
    assert (nowhere.code, "Traceback" in nowhere.err) == (2, False)
    (signing.folder / "half.pub").touch()
    half = signing.command("keys", "new", "half")
    assert (half.code, "half.pub: it exists" in half.err) == (2, True)
    assert not (signing.folder / "half.key").exists()


CHECK = Path(__file__).parents[2] / "docs/internals/signatures.md"


def test_a_stranger_checks_a_signature_with_openssl_as_the_page_says(signing: Stage, tmp_path: Path) -> None:
    export(signing, "one", "--sign", "signing.key")
    for tool in ("openssl", "jq", "base64", "sha256sum"):
        assert shutil.which(tool), tool
    script = CHECK.read_text().partition("```sh\n")[2].partition("```")[0]
    (tmp_path / "signing.pub").write_bytes((signing.folder / "signing.pub").read_bytes())
    for name in ("manifest", "signature"):
        (tmp_path / f"{name}.json").write_bytes(signing.read(f"{STATE}/runs/one/{name}.json"))

    def checked() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    done = checked()
    assert (done.returncode, done.stdout.splitlines()) == (0, ["Signature Verified Successfully", "manifest.json: OK"])
    (tmp_path / "manifest.json").write_bytes(signing.read(manifest_of("one")) + b" ")
    assert checked().returncode != 0


def test_a_key_in_cloud_kms_signs_runs_and_copies(signing: Stage) -> None:
    with kms_server() as kms:
        led = {"CLOUD_KMS_EMULATOR_HOST": kms.address}
        export(signing, "one", "--sign", f"gcpkms://{VERSION}", **led)
        (signing.folder / "kms.pub").write_bytes(kms.pem)
        assert signing.command("copy", "./out", "--sign", f"gcpkms://{VERSION}", env=led).code == 0
        denied = signing.run("--run-id", "two", *KEEP, "--sign", f"gcpkms://{DENIED}", env=led)
    assert trusts(signing, keys="kms.pub").code == 0
    assert trusts(signing, "--to", "out", keys="kms.pub").code == 0
    assert denied.code == 5
    assert "roles/cloudkms.signerVerifier" in denied.err
    assert not [name for name in signing.objects() if "/two/" in name]


@pytest.fixture
def copies(signing: Stage) -> storage.Bucket:
    """A second bucket for copies."""
    return signing.store.create_bucket(f"{signing.bucket}-second")


def put(bucket: storage.Bucket, name: str, data: bytes) -> int:
    blob = bucket.blob(name)
    blob.upload_from_string(data)
    return int(blob.generation)


MALLORY = b"id,name\n1,mallory\n"


def test_a_copy_that_was_forged_with_its_checksums_is_not_signed_afterwards(
    signing: Stage, copies: storage.Bucket
) -> None:
    export(signing, "one")
    assert signing.command("copy", f"gs://{copies.name}").code == 0
    name = manifest_of("one")
    manifest = json.loads(copies.blob(name).download_as_bytes())
    (file,) = manifest["tables"][0]["files"]
    before = copies.blob(file["name"]).download_as_bytes()
    generation = file["generation"]
    file["generation"] = put(copies, file["name"], with_checksum_of(before, MALLORY))
    put(copies, name, json.dumps(manifest, separators=(",", ":")).encode())
    called = signing.command("copy", f"gs://{copies.name}", "--sign", "signing.key")
    refused(called, file["name"], "it has other bytes than the source")
    assert not copies.blob(signature_of("one")).exists()
    # Only the manifest.
    file |= {"generation": put(copies, file["name"], before), "sha256": "0" * 64}
    put(copies, name, json.dumps(manifest, separators=(",", ":")).encode())
    refused(signing.command("copy", f"gs://{copies.name}", "--sign", "signing.key"), name, "it was changed")
    del file["sha256"]
    put(copies, name, json.dumps(manifest, separators=(",", ":")).encode())
    assert generation != file["generation"]
    called = signing.command("copy", f"gs://{copies.name}", "--sign", "signing.key")
    assert called.code == 0, called.text
    assert trusts(signing, "--to", f"gs://{copies.name}").code == 0


@pytest.mark.parametrize("route", ["extract", "read"])
def test_a_file_that_was_replaced_in_a_signed_export_is_not_signed_again(
    signing: Stage, copies: storage.Bucket, route: str
) -> None:
    export(signing, "one", "--route", route, "--sign", "signing.key")
    (file,) = json.loads(signing.read(manifest_of("one")))["tables"][0]["files"]
    data = signing.read(file["name"])
    signing.upload(file["name"], with_checksum_of(data, MALLORY[: len(data) - 4]))
    trusted = ("--trust", "signing.pub", "--sign", "other.key")
    called = signing.command("copy", f"gs://{copies.name}", *trusted)
    refused(called, file["name"], "SHA-256" if route == "read" else "only its CRC32C can be compared")
    assert not copies.blob(manifest_of("one")).exists()
    signing.upload(file["name"], data)
    called = signing.command("copy", f"gs://{copies.name}", *trusted)
    if route == "read":
        # The same bytes, and it is known that they are.
        assert called.code == 0, called
        assert trusts(signing, "--to", f"gs://{copies.name}", keys="other.pub").code == 0
    else:
        refused(called, file["name"], "only its CRC32C can be compared")


def test_a_file_that_was_there_before_its_run_was_copied_is_proven_before_it_is_signed(
    signing: Stage, copies: storage.Bucket
) -> None:
    export(signing, "one")
    assert signing.command("copy", f"gs://{copies.name}").code == 0
    export(signing, "two")
    (name,) = [name for name in signing.objects() if name.startswith("two/")]
    put(copies, name, with_checksum_of(signing.read(name), MALLORY))
    called = signing.command("copy", f"gs://{copies.name}", "--sign", "signing.key")
    refused(called, name, "it has other bytes than the source")
    assert not copies.blob(manifest_of("two")).exists()


def test_a_signed_run_names_no_files_again_of_a_run_that_its_key_has_not_signed_and_the_plan_says_so(
    signing: Stage,
) -> None:
    for run in ("one", "two"):
        export(signing, run, "--incremental")
    for run, key, reused in (("three", "signing.key", 0), ("four", "signing.key", 1), ("five", "other.key", 0)):
        planned = signing.command("plan", "--json", *KEEP, "--incremental", "--sign", key)
        assert json.loads(planned.out)["totals"]["unchanged"] == reused, run
        export(signing, run, "--incremental", "--sign", key)
        assert signing.manifest().totals.reused == reused, run
