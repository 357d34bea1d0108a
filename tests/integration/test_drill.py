"""A drill by a real process: values are compared, the dataset is dropped also on SIGTERM, and the note is stored."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

from collector import collecting, values
from hooks import hook
from integration.stage import Stage, until

COMMAND = (sys.executable, "-m", "bqdump", "drill")


def drill(stage: Stage, *arguments: str, **variables: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([*COMMAND, "--json", *arguments], env=stage.variables | variables, cwd=stage.folder,
                          text=True, capture_output=True, check=False)  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def scratch(stage: Stage) -> list[str]:
    return [one.dataset_id for one in stage.big.list_datasets() if one.dataset_id.startswith("bqdump_drill_")]


def created(stage: Stage) -> int:
    """The number of row access policies that requests have created."""
    counted: Any = stage.stack.requests()
    return int(counted["bigquery"]["requests"].get("bigquery.rowAccessPolicies.insert", 0))


def test_a_drill_compares_every_value_and_leaves_only_its_note(stage: Stage) -> None:
    for number in range(3):
        stage.table(f"t_{number}", rows=number + 1)
    stage.sql(f"CREATE VIEW v AS SELECT * FROM {stage.dataset}.t_0")
    stage.run_tasks(1, execution="r1", format="parquet")
    with collecting() as traced, hook() as notified:
        code, done = drill(stage, "--notify", notified.url, OTEL_EXPORTER_OTLP_ENDPOINT=traced.url)
    assert (code, done["state"], done["tables"], done["rows"]) == (0, "proven", ["t_0", "t_1", "t_2"], 6)
    assert done["objects"] == 1
    assert done["bytes_billed"] > 0
    assert notified.posts == []
    (root,) = traced.named("bqdump.drill")
    assert (root.status.code, values(root.attributes)["bqdump.exported_run"]) == (0, "r1")
    tables = {span.span_id for span in traced.named("bqdump.table")}
    assert len(tables) == 3
    assert {span.parent_span_id for span in traced.named("bqdump.job")} == tables
    (billed,) = traced.metrics["bqdump.bytes_billed"].sum.data_points
    assert billed.as_int == done["bytes_billed"]
    assert [drill(stage, "--tables", "2")[1]["tables"] for _ in range(2)] == [["t_0", "t_1"], ["t_0", "t_2"]]
    stage.stack.jobs(run_seconds=2.0)
    running = subprocess.Popen([*COMMAND, "--quiet"], env=stage.variables, cwd=stage.folder)
    until(lambda: [job for job in stage.big.list_jobs() if job.job_type == "load" and job.state != "DONE"], "loading")
    assert scratch(stage)
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 143
    assert scratch(stage) == []
    names = list(stage.objects())
    assert len([name for name in names if "/drills/" in f"/{name}" and name.endswith(".json")]) == 3
    assert [name for name in names if "/restores/" in name or "/executions/" in name] == []


def test_a_drill_restores_row_access_policies_in_its_scratch_dataset_on_request(stage: Stage) -> None:
    stage.table("orders", rows=3)
    stage.table("others")
    policy = "GRANT TO ('user:a@example.com') FILTER USING (id = 1)"
    stage.sql(f"CREATE ROW ACCESS POLICY few ON {stage.dataset}.orders {policy}")
    stage.run_tasks(1, execution="r1", format="parquet", allow="row-policies")
    code, without = drill(stage, "--include", "ord*")
    assert (code, without["state"], without["rows"], without["objects"]) == (0, "proven", 3, 0)
    assert ["few" in one["name"] for one in without["not_restored"]] == [True]
    before = created(stage)
    code, done = drill(stage, "--include", "ord*", "--with-policies")
    # The values were compared before the policy hid two of the rows.
    assert (code, done["state"], done["tables"], done["rows"]) == (0, "proven", ["orders"], 3)
    assert (done["objects"], done["not_restored"], created(stage) - before) == (1, [], 1)
    assert scratch(stage) == []
