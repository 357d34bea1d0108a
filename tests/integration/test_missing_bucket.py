"""A bucket that does not exist: every command that looks at one says so; and a copied bucket is what it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import requests

from hooks import hook
from integration.stage import Stage

LOOKS = [
    ["status"], ["status", "r1"], ["status", "--watch"], ["status", "r1", "--watch"], ["runs"], ["runs", "--json"],
    ["verify"], ["verify", "r1"], ["report"], ["report", "r1"], ["diff"], ["diff", "r1"], ["plan"], ["run"],
    ["ui", "--port", "0"],
]  # fmt: skip


@pytest.fixture
def outside(stage: Stage) -> Stage:
    stage.table("a")
    return stage


def test_a_bucket_that_does_not_exist_is_named(outside: Stage) -> None:
    for arguments in LOOKS:
        called = outside.command(*arguments, "--bucket", "no-such-bucket")
        assert called.code == 5, called
        (error,) = called.errors
        assert "gs://no-such-bucket: " in error
        assert "bucket does not exist" in error


@pytest.mark.parametrize("more", ["", "*"], ids=["dataset", "set"])
def test_a_notice_that_a_run_failed_names_a_bucket_that_does_not_exist(outside: Stage, more: str) -> None:
    with hook() as served:
        called = outside.command(
            "run", "--dataset", f"{outside.dataset}{more}", "--bucket", "no-such-bucket", "--notify", served.url
        )
    assert called.code == 5, called
    (notice,) = served.bodies
    assert (notice["event"], "bucket does not exist. Check its name" in notice["error"]) == ("run_failed", True)


def test_a_bucket_for_uploads_that_does_not_exist_is_to_be_created(outside: Stage) -> None:
    assert outside.command("run", "--to", "exports/night").code == 0
    uploads = ("--via", "gs://no-such-bucket")
    called = outside.command("restore", "--to", "exports/night", "--into", f"{outside.dataset}_copy", *uploads)
    assert called.code == 5, called
    (error,) = called.errors
    assert error.endswith("Check its name, or create it: gcloud storage buckets create gs://no-such-bucket")
    assert "Requires" not in error


# As Google's services answer, with what to do about it.
REFUSALS = [
    ("bigquery", "", "accessDenied", ("VPC Service Controls: Request is prohibited by organization's policy. "
     "vpcServiceControlsUniqueIdentifier: zvW4"), "a service perimeter blocks this request"),
    ("storage", "", "forbidden", ("Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: "
     "zvW4"), "a service perimeter blocks this request"),
    ("bigquery", "jobs.(insert|query)", "accessDenied", ("Access Denied: Project p: User does not have "
     "bigquery.jobs.create permission in project p."), "roles/bigquery.jobuser"),
    ("storage", "", "accountDisabled", "The billing account for the owning project is disabled in state absent",
     "link an active billing account"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "operation", "reason", "message", "cure"), REFUSALS)
@pytest.mark.parametrize("command", ["run", "doctor"])
def test_what_no_role_on_the_data_cures_is_reported_with_its_own_cure(
    outside: Stage,
    service: str,
    operation: str,
    reason: str,
    message: str,
    cure: str,
    command: str,
) -> None:
    rule = {"operation": operation, "status": 403, "reason": reason, "message": message}
    address = f"{getattr(outside.stack, service)}/_local/faults"
    requests.put(address, json={"rules": [rule]}, timeout=10).raise_for_status()
    try:
        called = outside.command(command)
    finally:
        requests.delete(address, timeout=10).raise_for_status()
    said = called.out + called.err
    assert (cure in said.lower(), message.partition(".")[0] in said) == (True, True), called
    assert "roles/storage" not in said
    assert "dataViewer" not in said
    assert called.code == (2 if command == "doctor" and "perimeter" in cure else 5)


@pytest.mark.parametrize("arguments", [["status"], ["runs"], ["verify"]], ids=" ".join)
def test_an_empty_bucket_is_not_called_missing(outside: Stage, arguments: list[str]) -> None:
    for denied in ((), ("storage.buckets.get",)):
        outside.deny(*denied)
        called = outside.command(*arguments)
        assert "does not exist" not in called.out + called.err
        assert "Start one: bqdump run" in called.out + called.err


def test_a_copied_bucket_has_the_status_of_the_original(outside: Stage, buckets: Path, tmp_path: Path) -> None:
    for table in ("b", "c"):
        outside.table(table)
    assert outside.command("run", "--run-id", "r1").code == 0
    original = outside.command("status", "--json")
    copy = tmp_path / "copy"
    for name in outside.objects():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(outside.read(name))
    assert outside.command("status", "--json", "--to", str(copy)) == original
    assert outside.command("runs", "--json", "--to", str(copy)) == outside.command("runs", "--json")
    # Also where receipts were removed meanwhile: the manifest proves that the run is complete.
    shutil.rmtree(copy / "_bqdump/runs/r1/receipts")
    shown = outside.command("status", "--to", str(copy))
    assert "run r1: published" in shown.out
    assert "3 of 3 tables done" in shown.out


def test_a_run_into_a_copied_bucket_is_refused_with_the_reason(outside: Stage, tmp_path: Path) -> None:
    assert outside.command("run", "--run-id", "r1").code == 0
    copy = tmp_path / "copy"
    for name in outside.objects():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(outside.read(name))
    called = outside.command("run", "--to", str(copy))
    assert called.code == 2
    (error,) = called.errors
    assert "contains no export" not in error
    assert "there is an export in it, or in a folder below it" in error
