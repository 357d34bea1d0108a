"""A task whose run was published before it started: success for a restarted task, a warning for anybody else."""

from __future__ import annotations

import asyncio
import logging

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.act import TaskResult
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump_memory import MemoryWarehouse
from logged import logged

NOW = 1_800_000_000_000


class Night:
    """A dataset of one table that is exported every night under the same run id."""

    def __init__(self) -> None:
        self.store, self.now = MemoryStore(), NOW
        self.warehouse = MemoryWarehouse(self.store, lambda: self.now)
        self.warehouse.put("project", "data", "sales", ["row"])
        self.settings = Settings(project="project", dataset="data", target=Target("gs", "memory"))

    def start(self, execution: str, index: int = 0) -> TaskResult:
        """One task of this execution."""
        owner = Owner(execution, index)
        return asyncio.run(run(Task(self.store, self.warehouse, self.settings, "nightly", owner, 2)))


@pytest.fixture
def night(caplog: pytest.LogCaptureFixture) -> Night:
    caplog.set_level(logging.INFO)
    return Night()


def test_a_restarted_or_late_task_of_the_same_execution_has_nothing_to_do(
    night: Night, caplog: pytest.LogCaptureFixture
) -> None:
    assert night.start("e1").again is None
    for index in (0, 1):
        again = night.start("e1", index).again
        assert again
        assert again.same
    assert [record.args for record in logged(caplog, LogEvent.ALREADY_PUBLISHED)] == [("nightly",)] * 2
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_another_execution_under_the_same_run_id_warns_that_nothing_was_exported(
    night: Night, caplog: pytest.LogCaptureFixture
) -> None:
    night.start("e1")
    night.now += 86_400_000
    outcome = night.start("e2")
    assert outcome.state == "published"
    assert outcome.again
    assert not outcome.again.same
    assert NOW <= outcome.again.ended < NOW + 60_000
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert logged(caplog, LogEvent.NOTHING_EXPORTED) == [warning]
    for words in ("run nightly", "2027-01-15T08:00:00", "omit the run id"):
        assert words in warning.getMessage()


@pytest.mark.parametrize("lost", ["publisher", "summary"])
def test_the_warning_takes_neither_the_publishers_note_nor_the_summary(
    night: Night, caplog: pytest.LogCaptureFixture, lost: str
) -> None:
    night.start("e1")
    layout = night.settings.layout
    name = {"publisher": layout.run("nightly").publisher.name, "summary": layout.entry("nightly", NOW).name}[lost]
    night.store.put_now(name, b"no JSON")
    assert night.start("e2").state == "published"
    assert len(logged(caplog, LogEvent.NOTHING_EXPORTED)) == 1
