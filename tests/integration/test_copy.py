"""`bqdump copy` by real processes: between buckets and folders, killed, resumed, restored, and with bad input."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import requests

import bqdump
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.target import Latest
from integration.stage import Stage, until

COMMAND = (sys.executable, "-m", "bqdump", "copy")
KEEP = "{run}/{table}/{table}_*.{ext}"


@pytest.fixture
def second(stage: Stage) -> str:
    """Another bucket, elsewhere."""
    name = f"second-{stage.bucket}"
    stage.store.create_bucket(stage.store.bucket(name), location="EU")
    return name


def fill(stage: Stage, tables: int = 3) -> None:
    for number in range(tables):
        stage.table(f"t_{number}", rows=number + 2)


def whole(folder: Path, run: str = "") -> Manifest:
    """The published manifest of a copy in a folder, every file of which is there."""
    state = folder / "_bqdump"
    latest = decode((state / "latest.json").read_bytes(), Latest, "latest.json")
    name = f"_bqdump/runs/{run or latest.run}/manifest.json"
    manifest = decode((folder / name).read_bytes(), Manifest, name)
    for entry in manifest.tables:
        for file in entry.files:
            assert (folder / file.name).stat().st_size == file.size
    return manifest


def test_a_folder_a_bucket_and_a_folder_again_are_copies_of_one_another(stage: Stage, second: str) -> None:
    fill(stage)
    assert stage.run(execution="r1").code == 0
    here, back = stage.folder / "here", stage.folder / "back"
    called = stage.command("copy", str(here))
    assert called.code == 0, called.text
    assert "Copied 3 files" in called.out
    called = stage.command("copy", f"gs://{second}/from/folder", "--to", str(here), "--storage-class", "nearline")
    assert called.code == 0, called.text
    called = stage.command("copy", str(back), "--to", f"gs://{second}/from/folder")
    assert called.code == 0, called.text
    # Each place has generations of its own, in the order in which its files arrived.
    first, last = (
        [msgspec.structs.replace(file, generation=0) for entry in whole(at).tables for file in entry.files]
        for at in (here, back)
    )
    assert first == last
    for target in (str(here), f"gs://{second}/from/folder", str(back)):
        verified = stage.command("verify", "--to", target, "--json", "--read")
        assert verified.code == 0, verified.text
        assert json.loads(verified.out)["findings"] == []
    classes = {blob.storage_class for blob in stage.store.list_blobs(second) if blob.name.endswith(".csv")}
    assert classes == {"NEARLINE"}


def test_between_buckets_the_service_moves_the_bytes(stage: Stage, second: str) -> None:
    fill(stage)
    assert stage.run("--path", KEEP, execution="r1").code == 0
    dest = f"gs://{second}/copies"
    shown = json.loads(stage.command("copy", dest, "--dry-run", "--json").out)
    assert (shown["copied"], shown["requests"], shown["runs"][0]["state"]) == (False, 3, "missing")
    assert shown["egress"] == shown["runs"][0]["moved_bytes"] > 0
    assert list(stage.store.list_blobs(second)) == []
    called = stage.command("copy", dest, "--json")
    assert called.code == 0, called.text
    assert json.loads(called.out)["runs"][0]["state"] == "copied"
    name = "copies/_bqdump/runs/r1/manifest.json"
    data = stage.store.bucket(second).blob(name).download_as_bytes()
    assert {file.sha256 for entry in decode(data, Manifest, name).tables for file in entry.files} == {""}
    assert stage.command("verify", "--to", dest).code == 0
    digested = f"gs://{second}/digested"
    assert stage.command("copy", digested, "--digest").code == 0
    name = "digested/_bqdump/runs/r1/manifest.json"
    data = stage.store.bucket(second).blob(name).download_as_bytes()
    digests = [file.sha256 for entry in decode(data, Manifest, name).tables for file in entry.files]
    assert digests
    assert all(digests)


def killed(stage: Stage, dest: str, objects: Callable[[], int], after: int, tasks: int = 1) -> bool:
    """Whether the tasks of a copy were killed as soon as its place had so many objects, before all of them ended."""
    processes: list[subprocess.Popen[bytes]] = []

    def ended() -> bool:
        return None not in [process.poll() for process in processes]

    try:
        for task in range(tasks):
            own = {
                "CLOUD_RUN_TASK_INDEX": str(task),
                "CLOUD_RUN_TASK_COUNT": str(tasks),
                "CLOUD_RUN_EXECUTION": "copying",
            }
            env = os.environ | stage.variables | (own if tasks > 1 else {})
            processes.append(subprocess.Popen([*COMMAND, dest, "--quiet"], env=env, cwd=stage.folder))
        until(lambda: ended() or objects() >= after, "the copy goes on")
        hit = not ended()
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
    return hit


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_copies_that_are_killed_at_random_are_completed_by_the_same_command(
    stage: Stage, second: str, kind: str
) -> None:
    fill(stage, tables=12)
    assert stage.run(execution="r1").code == 0
    dice, hits = random.Random(kind), 0
    for number in range(3):
        name = f"copy-{number}/"
        folder = stage.folder / name
        dest = str(folder) if kind == "folder" else f"gs://{second}/{name}"

        def objects(folder: Path = folder, prefix: str = name) -> int:
            if kind == "folder":
                return sum(path.is_file() for path in folder.rglob("*"))
            return len(list(stage.store.list_blobs(second, prefix=prefix)))

        hits += killed(stage, dest, objects, dice.randrange(1, 18), tasks=1 + number % 4)
        completed = stage.command("copy", dest)
        assert completed.code == 0, completed.text
        verified = stage.command("verify", "--to", dest, "--json")
        assert json.loads(verified.out)["findings"] == []
    assert hits


def test_sigterm_ends_a_copy_with_how_to_resume_it(stage: Stage) -> None:
    fill(stage, tables=12)
    assert stage.run(execution="r1").code == 0
    here = stage.folder / "here"
    process = subprocess.Popen(
        [*COMMAND, str(here)], env=stage.variables, cwd=stage.folder, text=True, stderr=subprocess.PIPE
    )
    until(lambda: (here / "_bqdump/copies.json").exists(), "the copy begins")
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate()
    if process.returncode:
        assert process.returncode == 143
        assert "stopped by SIGTERM. Repeat the command to resume the copy." in told
    assert stage.command("copy", str(here)).code == 0
    whole(here)


def test_the_python_function_copies_and_raises(stage: Stage) -> None:
    fill(stage)
    assert stage.run(execution="r1").code == 0
    here = stage.folder / "here"
    shown = bqdump.copy(str(here), bucket=stage.bucket, dry_run=True)
    assert (shown.copied, shown.files, here.exists()) == (False, 3, False)
    result = bqdump.copy(str(here), ["r1"], bucket=stage.bucket)
    assert [(one.run, one.state) for one in result.runs] == [("r1", "copied")]
    assert [one.state for one in bqdump.copy(str(here), every=True, to=f"gs://{stage.bucket}").runs] == ["there"]
    with pytest.raises(bqdump.NotFoundError, match="cannot find run r2"):
        bqdump.copy(str(here), "r2", bucket=stage.bucket)
    with pytest.raises(bqdump.UsageError, match="runs by name and all runs were given"):
        bqdump.copy(str(here), "r1", every=True, bucket=stage.bucket)


def test_bad_input_is_one_sentence_and_changes_nothing(stage: Stage, second: str) -> None:
    fill(stage)
    assert stage.run("--prefix", "sales", execution="r1").code == 0
    photos = stage.folder / "photos"
    photos.mkdir()
    (photos / "holiday.jpg").write_bytes(b"mine")
    before, at = stage.objects(), ("--prefix", "sales")
    cases: list[tuple[tuple[str, ...], int, str]] = [
        ((f"gs://{stage.bucket}/sales", *at), 2, "it is the export that is to be copied. Copy to another place."),
        ((f"gs://{stage.bucket}/sales/copy", *at), 2, "it is inside the export that is to be copied"),
        ((f"gs://{stage.bucket}", *at), 2, "the export that is to be copied is inside it"),
        (
            ("ftp://somewhere", *at),
            2,
            "unknown scheme ftp://; expected gs://BUCKET/PREFIX, s3://BUCKET/PREFIX or a local folder",
        ),
        (("", *at), 2, "an argument: it is empty"),
        ((str(photos), *at), 2, "the folder is not empty and contains no export. Use a new or empty folder"),
        (("gs://no-such-bucket-anywhere/x", *at), 5, "no-such-bucket-anywhere"),
        ((f"gs://{second}", "nope", *at), 5, "cannot find run nope"),
        ((f"gs://{second}", "no/pe", *at), 2, "the destination is the only place to name as an argument"),
        (("r1", f"gs://{second}", *at), 2, f"Name it first: bqdump copy gs://{second} r1"),
        ((f"gs://{second}", "./other", *at), 2, "Name the export to copy with --to or --bucket."),
        ((f"gs://{second}", "r1", "--all", *at), 2, "runs by name and all runs were given. Use one of them."),
        ((f"gs://{second}", "--storage-class", "GLACIER", *at), 2, "unknown storage class 'GLACIER'"),
        ((str(stage.folder / "new"), "--storage-class", "ARCHIVE", *at), 2, "for buckets of Cloud Storage only"),
    ]
    for arguments, code, message in cases:
        called = stage.command("copy", *arguments)
        assert called.code == code, called.text
        assert len(called.errors) == 1, called.text
        assert message in called.errors[0]
    assert stage.objects() == before
    assert list(stage.store.list_blobs(second)) == []
    assert [path.name for path in photos.iterdir()] == ["holiday.jpg"]


def test_a_missing_permission_on_either_side_and_a_file_in_place_of_the_folder_are_named(
    stage: Stage, second: str
) -> None:
    fill(stage)
    assert stage.run(execution="r1").code == 0
    stage.deny("storage.objects.get")
    called = stage.command("copy", str(stage.folder / "here"))
    assert called.code == 5, called.text
    assert "storage.objects.get" in called.errors[0]
    stage.deny()
    for permission in ("storage.objects.create", "storage.objects.list"):
        denied = {"buckets": {second: [permission]}}
        requests.put(f"{stage.stack.storage}/_local/denied", json=denied, timeout=10).raise_for_status()
        called = stage.command("copy", f"gs://{second}/x")
        assert called.code == 5, called.text
        assert len(called.errors) == 1, called.text
        assert permission in called.errors[0]
    stage.deny()
    assert list(stage.store.list_blobs(second)) == []
    locked = stage.folder / "locked"
    locked.write_text("a file")
    called = stage.command("copy", str(locked))
    assert called.code == 2
    assert "not a folder" in called.errors[0]
