"""plan, status, --version, and what a task writes to its log."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime

from bqdump import __version__
from bqdump.core.progress.log_events import LogEvent
from integration.stage import Stage, records

LABELS = "logging.googleapis.com/labels"


def test_plan_shows_everything_and_changes_nothing(stage: Stage) -> None:
    for name in ("a", "b", "c"):
        stage.table(name, 5)
    stage.sql(f"CREATE VIEW v AS SELECT * FROM {stage.dataset}.a")
    stage.upload("foreign.txt")
    before = stage.objects()
    called = stage.command("plan", "--json", "--tasks", "2", "--exclude", "c")
    assert called.code == 0, called
    shown = json.loads(called.out)
    assert (shown["project"], shown["dataset"], shown["mode"]) == (stage.project, stage.dataset, "replace")
    assert [(table["table"], table["route"], table["rows"]) for table in shown["tables"]] == [
        ("a", "extract", 5), ("b", "extract", 5), ("v", "query", 0)
    ]  # fmt: skip
    assert shown["totals"]["tables"] == 3
    assert shown["totals"]["rows"] == 10
    assert shown["totals"]["excluded"] == 1
    assert sorted(share["units"] for share in shown["shares"]) == [1, 2]
    assert shown["tables"][2]["read_at"] == "job"
    assert "a view: extract jobs read tables only" in shown["tables"][2]["why"]
    assert shown["skipped"] == []
    readable = stage.command("plan")
    assert readable.code == 0
    assert "4 tables, 15 rows" in readable.out
    assert stage.objects() == before
    assert stage.extracts() == []


def test_the_version_is_printed_without_importing_anything(stage: Stage) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bqdump", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"bqdump {__version__}\n"
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "bqdump" in imported
    assert not imported & {"google", "click", "msgspec", "requests", "asyncio"}


def test_a_run_imports_no_library_for_data(stage: Stage) -> None:
    stage.table("a")
    code = (
        "import sys\nfrom bqdump.cli.main import start\ncode = start(['run'])\n"
        "print([name for name in ('pandas', 'pyarrow', 'polars', 'duckdb', 'numpy') if sys.modules.get(name)])\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=stage.folder, env=stage.variables
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(stage.manifest().tables) == 1


def test_logs_are_json_lines_as_cloud_logging_reads_them(stage: Stage) -> None:
    stage.table("a")
    ran = stage.execute(execution="nightly-1")
    lines = list(records(ran.text))
    assert lines
    assert {line.stream for line in ran.lines} == {"stderr"}
    for line in lines:
        assert line["severity"] in ("INFO", "WARNING")
        assert line["message"]
        assert line[LABELS].items() >= {"run": "nightly-1", "task": "0", "dataset": stage.dataset}.items()
        assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d+Z", line["time"])
        assert abs(datetime.now(UTC) - datetime.fromisoformat(line["time"])).total_seconds() < 60
    assert [line[LABELS]["table"] for line in lines if "table" in line[LABELS]] == ["a"]
    assert [line["event"] for line in lines if line["severity"] == "INFO"] == [
        "run_planned",
        "table_exported",
        "run_published",
        "run_done",
    ]
    assert "1 table in 1 file" in lines[-1]["message"]
    (exported,) = (line for line in lines if line["event"] == LogEvent.TABLE_EXPORTED)
    table = stage.big.get_table(f"{stage.project}.{stage.dataset}.a")
    assert (exported["rows"], exported["bytes"]) == (table.num_rows, table.num_bytes)


def test_a_run_prints_its_result_as_json_on_request(stage: Stage) -> None:
    stage.table("a", 5)
    called = stage.command("run", "--json", "--log-format", "json", "--run-id", "one")
    shown = json.loads(called.out)
    assert (called.code, shown["run"], shown["state"], shown["rows"], shown["files"]) == (0, "one", "published", 5, 1)
    assert json.loads(called.err.splitlines()[-1])["event"] == LogEvent.RUN_DONE
    again = stage.command("run", "--json", "--run-id", "one")
    assert json.loads(again.out) == shown


def test_without_a_terminal_the_result_is_on_standard_output_and_text_on_standard_error(stage: Stage) -> None:
    stage.table("a", 5)
    ran = stage.command("run", "--run-id", "one")
    (result,) = ran.out.splitlines()
    assert result.startswith("done: 1 table in 1 file")
    assert [line[9:].partition(" ")[0] for line in ran.err.splitlines()] == ["planned", "a:", "published"]
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in ran.err.splitlines())
    restored = stage.command("restore", "--into", f"{stage.project}.copy")
    assert restored.out.splitlines()[-1].startswith("1 table, 5 rows")
    assert "restored 1 table" in restored.err
    drilled = stage.command("drill")
    assert drilled.out.splitlines()[-1].startswith("1 of 1 table of run one")
    assert "run one is restorable" in drilled.err
    assert stage.command("run", "--run-id", "two", "--quiet") == (0, "", "")
