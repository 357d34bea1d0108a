"""The report of a run: whole, safe to open, and written once."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import encode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Flag, Owner
from bqdump.core.documents.units import Claim
from bqdump.core.errors import TablesFailedError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.publish.report import report_page
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.pages.report import render_report
from bqdump.ports.warehouse import JobError
from bqdump.repository.published import read_manifest
from bqdump_memory import MemoryWarehouse
from logged import logged

HOSTILE = "<script>alert(1)</script>"
SETTINGS = Settings(project="project", dataset="data", target=Target("gs", "memory"), allow_partial=True)


class Page(HTMLParser):
    """Counts elements, and fails on markup that does not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def export(store: MemoryStore, warehouse: MemoryWarehouse, name: str, **allowed: bool) -> str:
    settings = msgspec.structs.replace(SETTINGS, **allowed)
    asyncio.run(run(Task(store, warehouse, settings, name, Owner(name, 0), 1)))
    found = store.peek(f"_bqdump/runs/{name}/report.html")
    assert found
    return found[0].decode()


def world() -> tuple[MemoryStore, MemoryWarehouse]:
    store = MemoryStore()
    clock = itertools.count(1_800_000_000_000)
    return store, MemoryWarehouse(store, lambda: next(clock))


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    store, warehouse = world()
    warehouse.put("project", "data", "people", ["1,Aiko"])
    warehouse.put("project", "data", "old_people", [], kind="VIEW")
    text = export(store, warehouse, "r1")
    page = Page(text)
    assert page.open == []
    assert [link for link in page.links if not link.startswith(("#", "https://console.cloud.google.com/"))] == []
    assert page.seen.count("script") == 1
    assert "Complete." in text
    assert "read when its job runs, not at the snapshot time" in text


def test_a_second_run_shows_what_changed() -> None:
    store, warehouse = world()
    warehouse.put("project", "data", "people", ["1,Aiko"])
    assert "Changes" not in export(store, warehouse, "r1")
    warehouse.put("project", "data", "people", ["1,Aiko", "2,Ben"])
    assert "Changes since the previous export" in export(store, warehouse, "r2")


def test_names_and_messages_are_text_and_nothing_more() -> None:
    store, warehouse = world()
    warehouse.failing = lambda table, job_id: JobError("invalid", HOSTILE) if table == "bad" else None
    warehouse.put("project", "data", "bad", ["x"])
    warehouse.put("project", "data", "a&b <i>", ["x"])
    text = export(store, warehouse, "r1")
    assert HOSTILE not in text
    assert "<i>" not in text
    assert "a&amp;b &lt;i&gt;" in text
    assert "1 table failed; 1 table exported and published" in text


def test_a_report_of_a_run_under_way_has_the_failures_that_count_now() -> None:
    store, warehouse = world()
    warehouse.failing = lambda table, job_id: JobError("invalid", "too large") if table == "bad" else None
    warehouse.put("project", "data", "bad", ["x"])
    with pytest.raises(TablesFailedError):
        export(store, warehouse, "r1", allow_partial=False)
    assert "too large" in asyncio.run(report_page(store, SETTINGS, "r1"))[1].decode()
    # Another execution tries it again.
    name = "_bqdump/runs/r1/claims/00000-00000.json"
    asyncio.run(store.write_note(name, encode(Claim(Owner("again", 0), "bad")), None))
    assert "too large" not in asyncio.run(report_page(store, SETTINGS, "r1"))[1].decode()


def test_control_characters_are_shown_and_do_not_break_the_page() -> None:
    store, warehouse = world()
    warehouse.failing = lambda table, job_id: JobError("invalid", "a\x00b\x1b[31m") if table == "bad" else None
    warehouse.put("project", "data", "bad", ["x"])
    assert "a␀b␛[31m" in export(store, warehouse, "r1")


def test_retries_and_what_another_task_has_taken_over_are_marked() -> None:
    store, warehouse = world()
    met: list[str] = []

    def once(table: str, job_id: str) -> JobError | None:
        met.append(table)
        return JobError("backendError", "again") if met == ["flaky"] else None

    warehouse.failing = once
    warehouse.put("project", "data", "flaky", ["x"])
    text = export(store, warehouse, "r1")
    assert "flaky: &lt; 0.1 s, retried<" in text
    assert ">retried<" in text
    assert "taken over" not in text
    manifest = asyncio.run(read_manifest(store, SETTINGS))
    (entry,) = manifest.tables
    moved = msgspec.structs.replace(manifest, tables=(msgspec.structs.replace(entry, task=7),))
    assert "taken over from task 0" in render_report(moved).decode()


def in_a_folder(store: MemoryStore, **settings: str) -> Manifest:
    """The manifest as if the run had gone to a folder with the read route."""
    manifest = asyncio.run(read_manifest(store, SETTINGS))
    (entry,) = manifest.tables
    session = msgspec.structs.replace(entry, route="read", jobs=("CAISDGZ_7",))
    settings = manifest.settings | {"to": "exports", "bucket": ""} | settings
    return msgspec.structs.replace(manifest, settings=settings, tables=(session,))


def test_a_report_that_is_kept_elsewhere_leads_to_the_folder_that_was_looked_at(tmp_path: Path) -> None:
    store, warehouse = world()
    warehouse.put("project", "data", "people", ["1,Aiko"])
    export(store, warehouse, "r1")
    store.put_now("_bqdump/runs/r1/manifest.json", encode(in_a_folder(store)))
    here = msgspec.structs.replace(SETTINGS, target=Target("file", str(tmp_path / "my exports")))
    _, page = asyncio.run(report_page(store, here))
    assert f'href="{tmp_path.as_uri()}/my%20exports/people"' in page.decode()
    # The folder has been copied to a bucket: nobody knows where it was.
    _, page = asyncio.run(report_page(store, SETTINGS))
    assert [link for link in Page(page.decode()).links if not link.startswith("#")] == []


def test_a_report_in_a_folder_leads_to_the_files_beside_it() -> None:
    store, warehouse = world()
    warehouse.put("project", "data", "people", ["1,Aiko"])
    export(store, warehouse, "r1")
    text = render_report(in_a_folder(store, prefix="nightly/")).decode()
    assert 'href="../../../../people"' in text
    assert "console.cloud.google.com" not in text
    assert "retried" not in text
    assert "with the read route" in text


@pytest.mark.parametrize(("table", "which"), [("people", "1 table"), ("", "any table")])
def test_what_a_table_may_lack_is_part_of_the_verdict(table: str, which: str) -> None:
    store, warehouse = world()
    warehouse.put("project", "data", "people", ["1,Aiko"])
    export(store, warehouse, "r1")
    manifest = asyncio.run(read_manifest(store, SETTINGS))
    flag = Flag(Risk.MASKED_COLUMNS, table, ("name",), "masked for this caller", True)
    text = render_report(msgspec.structs.replace(manifest, flags=(flag,))).decode()
    assert f"1 table exported; {which} may lack rows or values, as the settings allow." in text
    assert "1 table exported." not in text
    assert "masked for this caller" in text


def test_an_empty_dataset_has_a_report() -> None:
    store, warehouse = world()
    warehouse.datasets["project", "data"] = {}
    assert Page(export(store, warehouse, "r1")).open == []


def test_a_task_that_comes_after_the_end_changes_nothing() -> None:
    store, warehouse = world()
    warehouse.put("project", "data", "people", ["1,Aiko"])
    export(store, warehouse, "r1")
    before = [store.peek(name) for name in store.names_now()]
    outcome = asyncio.run(run(Task(store, warehouse, SETTINGS, "r1", Owner("r1", 3), 4)))
    assert outcome.state == "published"
    assert [store.peek(name) for name in store.names_now()] == before


def test_a_page_of_many_tables_stays_small() -> None:
    store, warehouse = world()
    for number in range(3000):
        warehouse.put("project", "data", f"table_{number}", ["x"])
    export(store, warehouse, "r1")
    page = render_report(asyncio.run(read_manifest(store, SETTINGS)))
    assert b"The 2,000 largest tables" in page
    assert len(page) < 1_300_000


@pytest.mark.parametrize("fails", [False, True], ids=["published", "failed"])
def test_a_process_that_can_open_no_more_files_ends_as_it_would_without_a_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    """What is imported last is read from the disk when the work is done."""

    class NoMoreFiles:
        def find_spec(self, name: str, *_: object) -> None:
            if name.startswith("bqdump.pages."):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    store, warehouse = world()
    warehouse.put("project", "data", "t", ["1"])
    if fails:
        warehouse.failing = lambda table, job: JobError("invalid", "broken")
    for name in [name for name in sys.modules if name.startswith("bqdump.pages.")]:
        monkeypatch.delitem(sys.modules, name)
        # Else the package still has it.
        monkeypatch.delattr(f"bqdump.pages.{name.rpartition('.')[2]}", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoMoreFiles(), *sys.meta_path])
    task = Task(store, warehouse, msgspec.structs.replace(SETTINGS, allow_partial=False), "r1", Owner("r1", 0), 1)
    if fails:
        with pytest.raises(TablesFailedError, match="broken"):
            asyncio.run(run(task))
    else:
        assert asyncio.run(run(task)).state == "published"
    [failed] = logged(caplog, LogEvent.REPORT_FAILED)
    assert "Too many open files" in failed.getMessage()
