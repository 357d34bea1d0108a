"""A run id that stays in the environment of a schedule: no later execution ends as if it had exported something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bqdump.core.progress.log_events import LogEvent
from integration.stage import Stage, records

TOMORROW = {"PYTHONPATH": str(Path(__file__).parent / "wrong_clock"), "WRONG_BY_DAYS": "1"}
STANDING = {"BQDUMP_RUN_ID": "nightly"}


def lines(text: str, severity: str) -> list[dict[str, Any]]:
    """The log lines of this severity."""
    return [record for record in records(text) if record["severity"] == severity]


def test_later_executions_under_one_run_id_warn_and_from_the_next_day_on_fail(stage: Stage) -> None:
    stage.table("sales")
    assert stage.run(execution="e1", env=STANDING).code == 0
    before = stage.objects()

    again = stage.execute(execution="e1", env={**STANDING, **TOMORROW})
    assert (again.codes, lines(again.text, "WARNING")) == ([0], [])

    soon = stage.run(execution="e2", env=STANDING)
    assert soon.code == 0
    (warning,) = lines(soon.text, "WARNING")
    assert warning["event"] == LogEvent.NOTHING_EXPORTED

    later = stage.execute(execution="e3", env={**STANDING, **TOMORROW})
    assert later.codes == [2]
    (error,) = lines(later.text, "ERROR")
    assert error["event"] == LogEvent.COMMAND_FAILED
    assert error["message"].startswith("run_id nightly: run nightly was published already (exported at 2")
    assert "Leave BQDUMP_RUN_ID and --run-id out" in error["message"]
    assert stage.objects() == before


@pytest.mark.parametrize("days", [0, 1])
def test_where_the_engine_does_not_name_executions_a_late_start_warns(stage: Stage, days: int) -> None:
    stage.table("sales")
    env = {**STANDING, "JOB_COMPLETIONS": "1"}
    assert stage.execute(engine="kubernetes", env=env).codes == [0]
    again = stage.execute(engine="kubernetes", env={**env, **TOMORROW, "WRONG_BY_DAYS": str(days)})
    assert again.codes == [0]
    assert len(lines(again.text, "WARNING")) == days
