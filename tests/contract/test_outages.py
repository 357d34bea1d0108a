"""Services that do not answer, or answer unlike Google's: one clear error, within the expected time."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from bqdump.adapters import patience
from bqdump.core.errors import BqdumpError, DamagedError, OutageError
from bqdump.core.progress.log_events import LogEvent
from contract.stacks import BUCKET, DATASET, QUICK, Stack, serve_stack
from integration.command import call
from local.bigquery_server import PROJECT
from logged import logged

ON_TARGET = ("--project", PROJECT, "--bucket", BUCKET)
ARGUMENTS = (*ON_TARGET, "--dataset", DATASET)
LOOKS = ("status", "runs", "verify")
COMMANDS = ("status", "runs", "plan", "doctor", "verify", "run")


@pytest.fixture
def stack() -> Iterator[Stack]:
    with serve_stack() as served:
        yield served


@pytest.fixture(scope="module")
def shared() -> Iterator[Stack]:
    """A stack with an export, for tests of commands that reach no more than one of its servers."""
    with serve_stack() as served:
        served.export(served.settings("x"), "first")
        yield served


@pytest.fixture
def nothing() -> Iterator[str]:
    """An address without a server, which no other process gets meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("service", ["storage", "bigquery"])
def test_an_outage_has_its_own_exit_code_and_names_the_service(
    stack: Stack, capsys: pytest.CaptureFixture[str], service: str
) -> None:
    stack.faults({"operation": f"^{service}", "status": 503})
    called = call(capsys, "run", *ARGUMENTS, "--patience", "2s", "--path", "{table}/{table}_*.{ext}")
    assert called.code == 7
    (error,) = called.errors
    address = getattr(stack, service)
    name = {"storage": "Cloud Storage", "bigquery": "BigQuery"}[service]
    assert f"{name} ({address}, set by {service.upper()}_EMULATOR_HOST) has not answered for 2 s" in error
    assert "--patience sets" in error


def test_a_long_outage_is_logged_at_intervals(stack: Stack, caplog: pytest.LogCaptureFixture,
                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(patience, "QUIET_SECONDS", 0.3)
    stack.faults({"operation": "^storage", "status": 503})
    waiting = patience.Patience(1.5, 0.1, 0.2, service="Cloud Storage (https://example.com)")
    with pytest.raises(OutageError):
        stack.export(stack.settings("long"), "long", patience=waiting)
    first = next(record for record in caplog.records if record.name == patience.__name__)
    assert logged(caplog, LogEvent.REQUEST_RETRIED)[0] is first
    silent = [record.getMessage() for record in logged(caplog, LogEvent.SERVICE_SILENT)]
    assert 1 <= sum("Cloud Storage (https://example.com): no answer for 1 s" in line for line in silent) <= 5


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(
    ("command", "variable"),
    [
        *((command, "STORAGE_EMULATOR_HOST") for command in COMMANDS),
        # The others use only the bucket.
        *((command, "BIGQUERY_EMULATOR_HOST") for command in COMMANDS if command not in LOOKS),
    ],
)
def test_a_stopped_emulator_is_reported_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, nothing: str, command: str, variable: str
) -> None:
    monkeypatch.setenv(variable, nothing)
    began = time.monotonic()
    called = call(capsys, command, *(ON_TARGET if command in LOOKS else ARGUMENTS), "--prefix", "x")
    assert called.code == 5
    (error,) = called.errors
    assert f"no server at {nothing}, the address in {variable}. Start the server (`bqdump local up`)" in error
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("address", ["127.0.0.1:9050", "http:/127.0.0.1", "ftp://127.0.0.1:9050"])
def test_an_invalid_address_is_reported_with_its_variable(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    called = call(capsys, "runs", *ON_TARGET)
    assert called.code == 5
    (error,) = called.errors
    assert "STORAGE_EMULATOR_HOST" in error
    assert "https_proxy" not in error


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_store_without_batches_gets_one_request_at_a_time(stack: Stack, status: int) -> None:
    stack.faults({"operation": "storage.batch", "status": status})
    settings = stack.settings("s")
    stack.counts()
    assert stack.export(settings, "s").state == "published"
    assert {entry.table: len(entry.files) for entry in stack.manifest(settings).tables} == {
        "one": 1, "three": 1, "two": 1
    }  # fmt: skip
    counts = stack.counts()
    assert counts["storage.objects.copy"] == counts["storage.objects.patch"] == 3
    assert not [name for name in counts if name.endswith("in a batch")]


def test_the_order_of_a_batch_s_answers_does_not_matter(stack: Stack) -> None:
    stack.faults({"operation": "storage.batch", "status": "shuffle"})
    settings = stack.settings("s")
    assert stack.export(settings, "s").state == "published"
    names = {entry.table: [file.name for file in entry.files] for entry in stack.manifest(settings).tables}
    assert names == {name: [f"s/{name}/{name}_000000000000.csv"] for name in ("one", "three", "two")}


@pytest.mark.parametrize(("operation", "status"), [("storage.objects.patch", 403), ("storage.objects.copy", 403)])
def test_an_error_within_a_batch_names_object_and_bucket(stack: Stack, operation: str, status: int) -> None:
    stack.faults({"operation": operation, "status": status, "reason": "forbidden", "times": 1})
    with pytest.raises(BqdumpError, match=f"gs://{BUCKET}/s/_bqdump/runs/s/data/") as caught:
        stack.export(stack.settings("s"), "s")
    assert "BATCH" not in str(caught.value)
    assert "contentid" not in str(caught.value)


def test_a_document_damaged_in_transit_is_read_again(stack: Stack) -> None:
    stack.faults(
        {"operation": "storage.objects.get", "path": "publishing.json.*alt=media", "status": "flip", "times": 3}
    )
    assert stack.export(stack.settings("s"), "s").state == "published"
    assert stack.left() == []


def test_a_document_damaged_on_every_read_is_a_clear_error(stack: Stack) -> None:
    stack.faults({"operation": "storage.objects.get", "path": "publishing.json.*alt=media", "status": "flip"})
    with pytest.raises(DamagedError, match=r"do not match the object's checksum\. Something between"):
        stack.export(stack.settings("s"), "s", patience=QUICK)
