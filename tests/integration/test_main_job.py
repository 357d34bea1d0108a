"""From three settings to a published export, whatever the numbers of tables and tasks."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from bqdump_local.execute import Engine
from integration.stage import Stage, csv_rows, expected_rows, records


def names_of(count: int) -> list[str]:
    return [f"t_{number:04}" for number in range(count)]


def test_three_settings_give_the_layout_of_the_naive_script(stage: Stage) -> None:
    stage.table("orders", 4)
    stage.table("people", 2)
    ran = stage.execute()
    assert ran.codes == [0], ran.text
    assert stage.files() == ["orders/orders_000000000000.csv", "people/people_000000000000.csv"]
    assert csv_rows(stage.read("orders/orders_000000000000.csv")) == expected_rows("orders", 4)
    assert csv_rows(stage.read("people/people_000000000000.csv")) == expected_rows("people", 2)


def test_the_manifest_is_whole(stage: Stage) -> None:
    stage.table("orders", 4)
    stage.sql(f"CREATE VIEW newest AS SELECT * FROM {stage.dataset}.orders")
    assert stage.run(execution="nightly-1").code == 0
    manifest = stage.manifest()
    assert (manifest.run, manifest.status, manifest.mode) == ("nightly-1", "complete", "replace")
    assert (manifest.project, manifest.dataset, manifest.location) == (stage.project, stage.dataset, "US")
    view, table = manifest.tables
    assert (table.table, table.route, table.planned_rows, table.rows) == ("orders", "extract", 4, None)
    assert (view.table, view.route, view.rows, view.read_at) == ("newest", "query", 4, "job")
    assert csv_rows(stage.read(view.files[0].name)) == expected_rows("orders", 4)
    assert list(table.jobs) == [job.job for job in stage.extracts()]
    definition = msgspec.json.decode(table.definition)
    assert [column["name"] for column in definition["schema"]["fields"]] == ["id", "name"]
    assert manifest.skipped == ()
    assert stage.latest().snapshot == manifest.snapshot == stage.plan("nightly-1").snapshot
    assert stage.staged() == []


@pytest.mark.parametrize(("tables", "tasks"), [(10, 4), (1, 12), (0, 5)], ids=lambda value: str(value))
def test_any_number_of_tasks_exports_each_table_once(stage: Stage, tables: int, tasks: int) -> None:
    names = names_of(tables)
    stage.empty_tables(names)
    order = random.Random(tasks).sample(range(tasks), tasks)
    outcomes = stage.run_tasks(tasks, order=order)
    assert {outcome.state for outcome in outcomes} <= {"published", "unfinished", "elsewhere"}
    assert any(outcome.state == "published" for outcome in outcomes)
    assert stage.extracted() == Counter(names)
    assert [table.table for table in stage.manifest().tables] == names
    assert stage.files() == [f"{name}/{name}_000000000000.csv" for name in names]


def test_more_tables_than_a_page_of_a_listing_are_all_exported_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bqdump.adapters.bigquery.warehouse.PAGE", 10)
    monkeypatch.setattr("bqdump.adapters.gcs.store.PAGE", 10)
    names = names_of(25)
    stage.empty_tables(names)
    stage.run_tasks(7, parallelism=3)
    assert stage.extracted() == Counter(names)
    latest = stage.latest()
    assert len(msgspec.json.decode(stage.read(latest.manifest))["tables"]) == 25
    assert len(stage.files()) == 25
    assert stage.staged() == []


def test_real_processes_share_the_tables(stage: Stage) -> None:
    names = names_of(7)
    for name in names:
        stage.table(name)
    ran = stage.execute(tasks=4, order=[3, 1, 0, 2])
    assert ran.codes == [0] * 4, ran.text
    assert stage.extracted() == Counter(names)
    manifest = stage.manifest()
    assert [table.table for table in manifest.tables] == names
    for name in names:
        assert csv_rows(stage.read(f"{name}/{name}_000000000000.csv")) == expected_rows(name, 3)


ENGINES: dict[Engine, dict[str, str]] = {
    "kubernetes": {"BQDUMP_RUN_ID": "cron-1", "JOB_COMPLETIONS": "2"},
    "gcp-batch": {"BATCH_JOB_UID": "j-7d1c"},
    "aws-batch": {"AWS_BATCH_JOB_ID": "2f9c-array:1"},
}


@pytest.mark.parametrize("engine", ENGINES)
def test_other_engines_run_it_too(stage: Stage, engine: Engine) -> None:
    names = names_of(2)
    stage.empty_tables(names)
    ran = stage.execute(tasks=2, engine=engine, env=ENGINES[engine])
    assert ran.codes == [0, 0], ran.text
    assert stage.extracted() == Counter(names)
    assert stage.latest().run == {"kubernetes": "cron-1", "gcp-batch": "j-7d1c", "aws-batch": "2f9c-array"}[engine]
    assert {record["logging.googleapis.com/labels"].get("task") for record in records(ran.text)} >= {"0", "1"}


def test_an_engine_without_a_name_for_the_run_requires_one(stage: Stage) -> None:
    ran = stage.execute(engine="kubernetes", env={"JOB_COMPLETIONS": "1"})
    assert ran.codes == [2]
    assert "BQDUMP_RUN_ID" in ran.text
    assert stage.objects() == {}


def make_orders(stage: Stage, datasets: int) -> str:
    """A table in one dataset or in each of two; returns their names as --dataset takes them."""
    stage.table("orders")
    if datasets == 1:
        return stage.dataset
    stage.big.create_dataset(f"{stage.dataset}_b")
    stage.sql(f"CREATE TABLE {stage.dataset}_b.orders AS SELECT 1 AS id")
    return f"{stage.dataset},{stage.dataset}_b"


@pytest.mark.parametrize("datasets", [1, 2])
def test_a_task_that_is_stopped_once_its_run_is_published_says_so(stage: Stage, datasets: int) -> None:
    names = make_orders(stage, datasets)
    posted, answered = threading.Event(), threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.set()
            answered.wait(60)

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [sys.executable, "-m", "bqdump", "run", "--dataset", names, "--run-id", "r1"]
        options = ["--prune", "--keep-last", "1", "--notify", f"http://127.0.0.1:{server.server_port}/x"]
        running = subprocess.Popen([*command, *options], env=stage.variables,
                                   cwd=stage.folder, text=True, stderr=subprocess.PIPE)  # fmt: skip
        assert posted.wait(120)
        running.send_signal(signal.SIGTERM)
        _, told = running.communicate(timeout=60)
        answered.set()
        server.shutdown()
    assert running.returncode == 143
    said = "stopped by SIGTERM. Run r1 is published. To prune: bqdump run --run-id r1"
    assert said in " ".join(told.split()), told


@pytest.mark.parametrize("datasets", [1, 2])
def test_a_run_that_was_stopped_before_it_pruned_does_so_when_it_is_resumed(stage: Stage, datasets: int) -> None:
    names = make_orders(stage, datasets)
    keep = ("--dataset", names, "--path", "{run}/{table}/{table}_*.{ext}")
    for run in ("r1", "r2"):
        made = stage.command("run", *keep, "--run-id", run)
        assert made.code == 0, made.text
    resumed = stage.command("run", *keep, "--run-id", "r2", "--prune", "--keep-last", "1")
    assert resumed.code == 0, resumed.text
    assert len([name for name in stage.objects() if name.endswith("/log/pruned/r1.json")]) == datasets
    assert len([name for name in stage.objects() if "r2/orders/" in name]) == datasets
