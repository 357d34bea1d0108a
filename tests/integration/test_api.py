"""The Python API in a host process: typed results, errors as exceptions, and nothing of the host is touched."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

import bqdump
from bqdump.adapters.lean_imports import UNUSED
from bqdump.api.calls import finish
from integration.command import call
from integration.stage import Stage, until
from integration.test_verify_source import swap_in

ROOT = Path(__file__).parents[2]
USER = """
import bqdump

export: bqdump.Export = bqdump.run(project="p", dataset="d", bucket="b", format="parquet", include=["a*"])
state: str = export.state
day: int = export.snapshot_time.day
rows_of: list[dict[str, object]] = bqdump.runs(bucket="b").to_dicts()
rows: int = sum(line.tables for line in bqdump.runs(bucket="b"))
mends: list[str] = [line for cure in bqdump.doctor(bucket="b").cures for line in cure.commands]
names: list[str] = [finding.file for finding in bqdump.verify(bucket="b", source=True).findings]
try:
    page: str = bqdump.report(bucket="b", since="r1")
except bqdump.NotFoundError as error:
    print(error.hint)
bqdump.run(project="p", run_id=None)
bqdump.run(projet="p")
bqdump.rum()
status: int = bqdump.status(bucket="b")
"""


def run_it(stage: Stage, **options: str) -> bqdump.Export:
    return bqdump.run(project=stage.project, dataset=stage.dataset, bucket=stage.bucket, run_id=options["run_id"])


def test_the_verbs_do_what_the_commands_do(stage: Stage) -> None:
    stage.table("a", 5)
    stage.table("b", 2)
    stage.sql("CREATE VIEW v AS SELECT * FROM a")
    where = stage.bucket
    planned = bqdump.plan(project=stage.project, dataset=stage.dataset, bucket=where, include=["a", "b"], tasks=2)
    assert ([table.table for table in planned.tables], len(planned.shares)) == (["a", "b"], 2)
    assert stage.objects() == {}
    first = bqdump.run(project=stage.project, dataset=stage.dataset, bucket=where, exclude="v", run_id="r1")
    assert (first.run, first.state, first.tables, first.rows, first.files) == ("r1", "published", 2, 7, 2)
    assert first.manifest == f"gs://{where}/_bqdump/runs/r1/manifest.json"
    assert first.bytes == sum(len(stage.read(name)) for name in stage.files())
    again = bqdump.run(project=stage.project, dataset=stage.dataset, bucket=where, exclude="v", run_id="r1")
    assert again == first
    stage.table("b", 9)
    bqdump.run(project=stage.project, dataset=stage.dataset, bucket=where, exclude="v", run_id="r2")
    assert (bqdump.status(bucket=where).run, bqdump.status("r1", bucket=where).latest) == ("r2", "r2")
    assert [(line.run, line.published) for line in bqdump.runs(bucket=where)] == [("r2", True), ("r1", False)]
    assert [change.table for change in bqdump.diff("r1", bucket=where)] == ["b"]
    assert [change.content for change in bqdump.diff("r2", "r2", bucket=where, values=True)] == []
    with pytest.raises(bqdump.VerificationError, match=r"table b: generation .* does not exist"):
        bqdump.diff("r1", bucket=where, values=True)
    assert bqdump.verify(bucket=where).findings == ()
    read = bqdump.verify(bucket=where, read="100%").read
    assert read is not None
    assert (read.files, read.rows) == (2, 14)
    with pytest.raises(bqdump.UsageError, match="read 'much'"):
        bqdump.verify(bucket=where, read="much")
    assert [table.table for table in bqdump.manifest(bucket=where).tables] == ["a", "b"]
    assert bqdump.report(bucket=where, since="r1").startswith("<!doctype html>")


def test_the_plan_of_a_drill_shows_what_would_be_restored_and_restores_nothing(stage: Stage) -> None:
    stage.table("a", 5)
    run_it(stage, run_id="r1")
    before = (stage.objects(), len(list(stage.big.list_datasets())))
    shown = bqdump.drill(plan=True, project=stage.project, bucket=stage.bucket)
    assert [(table.table, table.action, table.expected_rows) for table in shown.tables] == [("a", "create", 5)]
    assert (stage.objects(), len(list(stage.big.list_datasets()))) == before
    elsewhere = bqdump.drill(plan=True, project=stage.project, scratch_project="my-sandbox", bucket=stage.bucket)
    assert elsewhere.project == "my-sandbox"
    with pytest.raises(bqdump.UsageError, match=r"scratch_project: invalid value 'a/b'"):
        bqdump.drill(project=stage.project, scratch_project="a/b", bucket=stage.bucket)


def test_the_doctor_returns_what_its_command_prints(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.table("a")
    # The tests themselves lead to stand-ins, which is worth a warning.
    assert bqdump.doctor(project=stage.project, dataset=stage.dataset, bucket=stage.bucket).verdict == "warning"
    assert (stage.objects(), stage.extracts()) == ({}, [])
    stage.deny("bigquery.tables.getData")
    email = "exporter@example.iam.gserviceaccount.com"
    found = bqdump.doctor(service_account=email, project=stage.project, dataset=stage.dataset, bucket=stage.bucket)
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    called = call(capsys, "doctor", "--json", "--service-account", email)
    stage.deny()
    assert found.verdict == "denied"
    assert [cure.permission for cure in found.cures] == ["bigquery.tables.getData"]
    assert any(email in line for line in found.cures[0].commands)
    assert steady(json.loads(msgspec.json.encode(found))) == steady(json.loads(called.out))
    with pytest.raises(bqdump.UsageError, match="missing: dataset"):
        bqdump.doctor(project=stage.project, bucket=stage.bucket)


def steady(diagnosis: dict[str, Any]) -> dict[str, Any]:
    """Without words that hold a time or a job's id."""
    return {**diagnosis, "checks": [{**check, "detail": bool(check["detail"])} for check in diagnosis["checks"]]}


def test_an_export_is_compared_with_bigquery_as_it_was(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    stage.table("a", 5)
    stage.now()
    run_it(stage, run_id="r1")
    stage.sql("DELETE FROM a WHERE id > 1")
    verified = bqdump.verify(source=True, bucket=stage.bucket, project=stage.project)
    assert verified.findings == ()
    assert verified.source is not None
    assert (verified.source.tables, verified.source.bytes_billed > 0) == (1, True)
    assert capfd.readouterr() == ("", "")
    (name,) = stage.files()
    swap_in(stage, name, stage.read(name).replace(b"1", b"7", 1))
    assert bqdump.verify(read="100%", bucket=stage.bucket).findings == ()
    found = bqdump.verify(source=True, bucket=stage.bucket, project=stage.project).findings
    assert [(finding.kind, finding.table) for finding in found] == [("values", "a")]
    with pytest.raises(bqdump.UsageError, match=r"bill .*Raise it"):
        bqdump.verify(source=True, bucket=stage.bucket, project=stage.project, max_bytes_billed=1)
    with pytest.raises(bqdump.UsageError, match="missing: project"):
        bqdump.verify(source=True, bucket=stage.bucket)
    with pytest.raises(bqdump.UsageError, match=r"source compares complete tables.*Leave out read"):
        bqdump.verify(source=True, read="10%", bucket=stage.bucket, project=stage.project)


def test_several_tasks_of_one_run_share_it(stage: Stage) -> None:
    for number in range(6):
        stage.table(f"t{number}")
    ends: list[bqdump.Export] = []

    def one(task: int) -> None:
        ends.append(
            bqdump.run(
                project=stage.project, dataset=stage.dataset, bucket=stage.bucket, run_id="r1", task=task, tasks=3
            )
        )

    threads = [threading.Thread(target=one, args=(task,)) for task in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ends) == 3
    assert "published" in {end.state for end in ends}
    assert set(stage.extracted().values()) == {1}
    assert len(stage.manifest().tables) == 6


def test_failures_are_exceptions_that_say_what_to_do(stage: Stage) -> None:
    stage.table("a")
    stage.stack.jobs(faults=[{"at": "run", "table": "^a@", "reason": "invalid", "message": "Cannot read it"}])
    with pytest.raises(bqdump.TablesFailedError, match="a: invalid: Cannot read it") as failed:
        run_it(stage, run_id="r1")
    assert failed.value.hint == "Fix the cause, then resume with: bqdump.run(run_id='r1')"
    assert run_it(stage, run_id="r1").state == "published"
    with pytest.raises(bqdump.NotFoundError, match="run never"):
        bqdump.status("never", bucket=stage.bucket)


def test_of_several_errors_at_once_the_first_is_raised() -> None:
    async def fail() -> None:
        raise ExceptionGroup(
            "2 errors", [ExceptionGroup("1 error", [bqdump.DeniedError("read", "gs://b", "no")]), OSError()]
        )

    with pytest.raises(bqdump.DeniedError, match="cannot read gs://b: no"):
        finish(fail())


def test_wrong_arguments_name_themselves(tmp_path: Path) -> None:
    # Type checkers refuse it, too.
    unknown: Any = "xls"
    with pytest.raises(bqdump.UsageError, match=r"missing: project and bucket\.$"):
        bqdump.run(dataset="sales")
    with pytest.raises(bqdump.UsageError, match=r"^format: invalid value 'xls'"):
        bqdump.plan(project="proj", dataset="sales", bucket="target", format=unknown)
    with pytest.raises(bqdump.UsageError, match=r"unknown setting 'projekt'\. Did you mean 'project'"):
        # Type checkers refuse it, too.
        bqdump.plan(projekt="p", project="proj", dataset="sales", bucket="target")  # type: ignore[call-arg]
    with pytest.raises(bqdump.UsageError, match="tasks of one run need one name"):
        bqdump.run(project="proj", dataset="sales", bucket="target", tasks=2)
    with pytest.raises(bqdump.UsageError, match="it is none of 2 tasks"):
        bqdump.run(project="proj", dataset="sales", bucket="target", task=2, tasks=2, run_id="r")
    with pytest.raises(bqdump.UsageError, match=r"none\.toml"):
        bqdump.runs(config=str(tmp_path / "none.toml"))


@pytest.mark.parametrize("runs", ["", [], [""]])
def test_no_runs_are_not_all_runs(tmp_path: Path, runs: Any) -> None:
    for verb in (
        lambda: bqdump.prune(runs=runs, yes=True, keep_last=1, to=str(tmp_path)),
        lambda: bqdump.copy(str(tmp_path / "copy"), runs, to=str(tmp_path)),
    ):
        with pytest.raises(bqdump.UsageError, match=r"^runs: it names no run"):
            verb()


def test_a_file_of_settings_is_read_where_it_is_named_and_the_environment_never(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.table("a")
    monkeypatch.setenv("DESTINATION_BUCKET", "another")
    monkeypatch.setenv("BQDUMP_FORMAT", "avro")
    file = tmp_path / "nightly.toml"
    file.write_text(f'project = "{stage.project}"\ndataset = "{stage.dataset}"\nbucket = "another"\nprefix = "night"\n')
    export = bqdump.run(config=str(file), bucket=stage.bucket)
    assert (export.state, stage.files()) == ("published", ["night/a/a_000000000000.csv"])


def test_a_folder_takes_the_place_of_a_bucket(stage: Stage, tmp_path: Path) -> None:
    stage.table("a", 5)
    folder = str(tmp_path / "export")
    export = bqdump.run(project=stage.project, dataset=stage.dataset, to=folder, run_id="r1")
    assert (export.state, export.rows, export.manifest) == ("published", 5, f"{folder}/_bqdump/runs/r1/manifest.json")
    assert bqdump.verify(to=folder).findings == ()
    assert [line.run for line in bqdump.runs(to=folder)] == ["r1"]
    file = tmp_path / "nightly.toml"
    file.write_text(f'bucket = "{stage.bucket}"\n')
    assert [line.run for line in bqdump.runs(config=str(file), to=folder)] == ["r1"]
    file.write_text(f'to = "{folder}"\n')
    assert bqdump.runs(config=str(file), bucket=stage.bucket) == []
    with pytest.raises(bqdump.UsageError, match="two targets are given"):
        bqdump.runs(bucket=stage.bucket, to=folder)


def test_it_works_where_an_event_loop_runs(stage: Stage) -> None:
    stage.table("a")

    async def cell() -> list[str]:
        export = run_it(stage, run_id="r1")
        return [export.state, *(line.run for line in bqdump.runs(bucket=stage.bucket))]

    assert asyncio.run(cell()) == ["published", "r1"]


def test_nothing_of_the_host_is_touched(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    stage.table("a")
    root = logging.getLogger()
    before = (
        root.handlers[:], root.level, list(logging.getLogger("bqdump").handlers),
        logging.getLogger("bqdump").level, logging.getLogger("bqdump").propagate,
        {number: signal.getsignal(number) for number in signal.valid_signals() if number != signal.SIGKILL},
    )  # fmt: skip
    run_it(stage, run_id="r1")
    bqdump.verify(bucket=stage.bucket)
    assert before == (
        root.handlers[:], root.level, list(logging.getLogger("bqdump").handlers),
        logging.getLogger("bqdump").level, logging.getLogger("bqdump").propagate,
        {number: signal.getsignal(number) for number in signal.valid_signals() if number != signal.SIGKILL},
    )  # fmt: skip
    assert capfd.readouterr() == ("", "")
    assert not [thread for thread in threading.enumerate() if thread.name == "bqdump"]


def test_a_host_can_import_everything_afterwards_and_hears_nothing(stage: Stage) -> None:
    stage.deny("storage.buckets.get")
    stage.table("a")
    code = (
        "import sys, bqdump\n"
        f"bqdump.run(project={stage.project!r}, dataset={stage.dataset!r}, bucket={stage.bucket!r})\n"
        f"assert not [name for name in {UNUSED!r} if name in sys.modules and sys.modules[name] is None]\n"
        "import pyarrow, grpc\n"
    )
    env = {"PATH": os.environ["PATH"], **stage.stack.variables()}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_interrupt_ends_the_wait_and_the_work(stage: Stage) -> None:
    stage.table("a")
    stage.stack.jobs(run_seconds=60.0)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        try:
            until(lambda: "_bqdump/runs/r1/planner.json" in stage.objects(), "the run has begun")
        finally:
            signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    # Whatever handler other tests have left: this host has Python's own.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            run_it(stage, run_id="r1")
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert not [running for running in threading.enumerate() if running.name == "bqdump"]


def test_a_user_with_strict_types_gets_help(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir=cache", "user.py"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT / "src")},
    )  # fmt: skip
    lines = [line.partition("error: ")[2] for line in done.stdout.splitlines() if "error: " in line]
    assert len(lines) == 3, done.stdout
    assert 'Unexpected keyword argument "projet" for "run"' in lines[0]
    assert 'Module has no attribute "rum"' in lines[1]
    assert "Incompatible types in assignment" in lines[2]
