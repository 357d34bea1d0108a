"""A command whose collector is not there, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

from bqdump.core.progress.log_events import LogEvent
from collector import collecting
from integration.stage import Stage, records
from logged import lines_of


def test_a_run_whose_collector_is_gone_logs_json_lines_alone_and_is_published(stage: Stage) -> None:
    stage.table("a")
    with collecting() as gone:
        pass
    done = subprocess.run(
        [sys.executable, "-m", "bqdump", "run", "--log-format", "json"], capture_output=True, text=True,
        cwd=stage.folder, timeout=300,
        env=os.environ | stage.variables | {"OTEL_EXPORTER_OTLP_ENDPOINT": gone.url, "OTEL_BSP_MAX_QUEUE_SIZE": "x"},
    )  # fmt: skip
    assert done.returncode == 0, done
    lines = (done.stdout + done.stderr).splitlines()
    assert all(line.startswith("{") for line in lines), lines
    assert len(lines_of(records(done.stdout + done.stderr), LogEvent.TELEMETRY_FAILED)) == 1
    assert [table.table for table in stage.manifest().tables] == ["a"]
