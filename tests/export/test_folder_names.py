"""A run into a folder is refused while it is planned where the folder cannot hold its files; and who waits says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bqdump.adapters.folder.store import FolderStore
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import encode
from bqdump.core.documents.path_template import NameRules
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import obtain_plan
from bqdump.export.task import Task
from bqdump_memory import MemoryWarehouse
from logged import logged


def planning(folder: Path, *tables: str, execution: str = "e1") -> Task:
    warehouse = MemoryWarehouse(MemoryStore("bucket"), lambda: 1_700_000_000_000)
    for table in tables:
        warehouse.put("p", "d", table, ["row"])
    settings = Settings(project="p", dataset="d", target=Target("file", str(folder)), route="read")
    return Task(FolderStore(folder), warehouse, settings, "r1", Owner(execution, 0), 1)


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and path.name != ".bqdump-index.sqlite"]


def test_tables_that_a_folder_cannot_tell_apart_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(obtain_plan(planning(tmp_path / "here", "Orders", "orders")))
    monkeypatch.setattr("bqdump.adapters.folder.store.name_rules", lambda root: NameRules(ignores_case=True))
    with pytest.raises(UsageError, match=r"^tables Orders and orders: .* cannot store both Orders and orders"):
        asyncio.run(obtain_plan(planning(tmp_path / "there", "Orders", "orders", "other")))
    assert files(tmp_path / "there") == []


def test_a_table_that_windows_cannot_have_is_refused_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(obtain_plan(planning(tmp_path / "here", "Aux", "other")))
    monkeypatch.setattr("bqdump.adapters.folder.store.name_rules", lambda root: NameRules(windows=True))
    with pytest.raises(UsageError, match=r"^table Aux: .* cannot exist on Windows: Aux is the name of a device. Leave"):
        asyncio.run(obtain_plan(planning(tmp_path / "there", "Aux", "other")))
    assert files(tmp_path / "there") == []


def test_a_table_whose_name_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^table é+: its file é+… has a part of 2[0-9]{2} bytes, and the file system"):
        asyncio.run(obtain_plan(planning(tmp_path, "é" * 125, "other")))
    assert files(tmp_path) == []


def test_a_task_that_waits_for_a_plan_names_the_planner(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    waiting = planning(tmp_path, "t", execution="e2")
    asyncio.run(waiting.store.write(waiting.layout.planner.name, encode(Owner("e1", 3)), 0))
    assert asyncio.run(obtain_plan(waiting)).tables == 1
    [waits] = logged(caplog, LogEvent.TASK_WAITS_FOR_PLAN)
    assert "task 3 of execution e1 is planning run r1" in waits.getMessage()


def test_a_planner_that_cannot_write_does_not_make_others_wait(tmp_path: Path) -> None:
    task = planning(tmp_path, "t")
    asyncio.run(task.store.write("_bqdump/runs/r1/other", b"", 0))
    (tmp_path / "_bqdump/runs/r1/plan.json").mkdir()
    with pytest.raises(BqdumpError, match="Is a directory"):
        asyncio.run(obtain_plan(task))
    (tmp_path / "_bqdump/runs/r1/plan.json").rmdir()
    assert asyncio.run(obtain_plan(planning(tmp_path, "t", execution="e2"))).tables == 1
