"""Runs over time, and what changed between two of them."""

from __future__ import annotations

import asyncio
import itertools

import msgspec
import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.changes import compare
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.manifest_index import Contents
from bqdump.core.documents.run import Owner
from bqdump.core.errors import DocumentError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import BUCKET, Target
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.observe.history import list_runs
from bqdump.repository.manifests import contents_of
from bqdump.repository.published import read_manifest
from bqdump_memory import MemoryTable, MemoryWarehouse
from entries import entries, entry

SETTINGS = Settings(project="project", dataset="data", target=Target("gs", "memory"))


def columns(table: MemoryTable, *names: str) -> MemoryTable:
    fields = [{"name": name, "type": "STRING"} for name in names]
    return table._replace(definition=msgspec.Raw(msgspec.json.encode({"schema": {"fields": fields}})))


def two_runs() -> MemoryStore:
    store = MemoryStore()
    clock = itertools.count(1_800_000_000_000)
    warehouse = MemoryWarehouse(store, lambda: next(clock))
    tables = warehouse.datasets.setdefault(("project", "data"), {})

    def export(name: str) -> None:
        asyncio.run(run(Task(store, warehouse, SETTINGS, name, Owner(name, 0), 1)))

    for table in ("grows", "same", "goes", "widens"):
        warehouse.put("project", "data", table, ["row"])
    tables["widens"] = columns(tables["widens"], "line", "old")
    export("r1")
    warehouse.put("project", "data", "grows", ["row", "another"])
    warehouse.put("project", "data", "comes", ["row"])
    warehouse.drop("project", "data", "goes")
    tables["widens"] = columns(tables["widens"], "line", "new")
    export("r2")
    return store


def test_a_run_whose_manifest_is_gone_is_not_called_complete() -> None:
    store = two_runs()
    name = SETTINGS.layout.run("r1").manifest.name
    found = store.peek(name)
    assert found
    asyncio.run(store.delete([(name, found[1].generation)]))
    second, first = asyncio.run(list_runs(store, SETTINGS))
    assert (second.run, second.state, first.run, first.state) == ("r2", "complete", "r1", "unreadable")
    assert first.problem.startswith(f"its manifest {name} is gone")
    assert first.problem.endswith("Until then, `bqdump prune --to gs://memory` stops.")


def test_runs_are_listed_latest_first_and_the_published_one_is_marked() -> None:
    lines = asyncio.run(list_runs(two_runs(), SETTINGS))
    assert [(line.run, line.state, line.published, line.tables) for line in lines] == [
        ("r2", "complete", True, 4),
        ("r1", "complete", False, 4),
    ]
    assert asyncio.run(list_runs(MemoryStore(), SETTINGS)) == []


def test_a_finished_run_is_listed_without_reading_its_manifest_and_one_without_an_entry_is_named() -> None:
    store = two_runs()
    listed = asyncio.run(list_runs(store, SETTINGS))
    assert [(line.took > 0, line.rows) for line in listed if line.run == "r1"] == [(True, 4)]
    for name in entries(store, SETTINGS.layout).values():
        found = store.peek(name)
        assert found
        asyncio.run(store.delete([(name, found[1].generation)]))
    shown = asyncio.run(list_runs(store, SETTINGS))
    assert all(
        f"not in the log. Enter it in the log, which exports nothing: {again(line.run)}" in line.problem
        for line in shown
    )
    unpublished = [msgspec.structs.replace(line, published=False) for line in listed]
    assert [msgspec.structs.replace(line, problem="") for line in shown] == unpublished


def test_a_run_that_lost_its_entry_in_a_place_that_was_copied_is_entered_from_where_it_was_exported() -> None:
    store = two_runs()
    for name in entries(store, SETTINGS.layout).values():
        found = store.peek(name)
        assert found
        asyncio.run(store.delete([(name, found[1].generation)]))
    elsewhere = replace(SETTINGS, target=Target(BUCKET, "copied"))
    problems = {line.problem for line in asyncio.run(list_runs(store, elsewhere))}
    log = SETTINGS.layout.log
    assert problems == {
        f"it is complete, but not in the log. It was exported to {SETTINGS.target}: copy {log} from there."
    }


def again(run: str) -> str:
    """The command that enters a run in the log again."""
    return f"bqdump run --run-id {run} --project {SETTINGS.project} --dataset {SETTINGS.dataset}"


@pytest.mark.parametrize("data", [b"", b"{}", b"{", b"not JSON"])
def test_a_run_whose_manifest_is_damaged_is_a_line_with_the_reason_whatever_is_made_of_it(data: bytes) -> None:
    store = two_runs()
    other = asyncio.run(list_runs(store, SETTINGS))[1]
    store.put_now(SETTINGS.layout.run("r2").manifest.name, data)
    first, second = asyncio.run(list_runs(store, SETTINGS))
    assert (first.run, first.state, first.published) == ("r2", "unreadable", False)
    assert first.problem.startswith("cannot read _bqdump/runs/r2/manifest.json: it is not a valid Manifest")
    assert second == msgspec.structs.replace(other, published=True)


@pytest.mark.parametrize("data", [b"{", b'{"format_version": 2}', b"\xff", b"[]"])
@pytest.mark.parametrize("name", ["plan.json", "manifest.json"])
def test_a_run_that_cannot_be_read_is_a_line_with_the_reason_and_the_others_are_listed(name: str, data: bytes) -> None:
    store = two_runs()
    listed = asyncio.run(list_runs(store, SETTINGS))
    store.put_now(f"{SETTINGS.layout.run('broken').root}{name}", data)
    first, *others = asyncio.run(list_runs(store, SETTINGS))
    assert others == listed
    assert (first.run, first.state, first.published, first.whole) == ("broken", "unreadable", False, False)
    assert first.problem.startswith(f"cannot read _bqdump/runs/broken/{name}: it ")
    assert "\n" not in first.problem


@pytest.mark.parametrize("change", [{"run": "r2"}, {"run": 7}, {"snapshot_time": "soon"}, {"format_version": 2}])
def test_a_run_whose_entry_cannot_be_read_is_listed_from_its_manifest(change: dict[str, object]) -> None:
    store = two_runs()
    listed = asyncio.run(list_runs(store, SETTINGS))
    name = entry(store, SETTINGS.layout, "r1")
    found = store.peek(name)
    assert found
    summary = msgspec.json.encode(msgspec.json.decode(found[0]) | change)
    asyncio.run(store.write_note(name, summary, found[1].generation))
    shown = {line.run: line for line in asyncio.run(list_runs(store, SETTINGS))}
    assert shown["r1"].problem.startswith(f"its entry {name} cannot be read. Delete that")
    assert again("r1") in shown["r1"].problem
    assert [msgspec.structs.replace(line, problem="") for line in shown.values()] == listed


@pytest.mark.parametrize(
    ("change", "words"),
    [({"snapshot_time": "soon"}, "its snapshot time is 'soon'"), ({"run": "r1"}, "it is about run 'r1'"),
     ({"tables": [7]}, "its table 1 is not valid")],
)  # fmt: skip
def test_a_manifest_that_has_been_changed_is_reported(change: dict[str, object], words: str) -> None:
    store = two_runs()
    layout = SETTINGS.layout
    name = entry(store, layout, "r2")
    found, manifest = store.peek(name), store.peek(layout.run("r2").manifest.name)
    assert found
    assert manifest
    asyncio.run(store.delete([(name, found[1].generation)]))
    store.put_now(layout.run("r2").manifest.name, msgspec.json.encode(msgspec.json.decode(manifest[0]) | change))
    first, other = asyncio.run(list_runs(store, SETTINGS))
    assert (first.run, first.state, first.published, other.run) == ("r2", "unreadable", False, "r1")
    assert words in first.problem


def decode_contents(store: MemoryStore, name: str) -> Contents:
    found = store.peek(SETTINGS.layout.run(name).contents.name)
    assert found
    return decode(found[0], Contents, "contents.json")


def test_the_index_leads_to_every_entry_of_the_manifest() -> None:
    store = two_runs()
    manifest = store.peek(SETTINGS.layout.run("r2").manifest.name)
    assert manifest
    contents = decode_contents(store, "r2")
    assert contents == contents_of(manifest[0], "manifest.json")
    assert [line.table for line in contents.tables] == ["comes", "grows", "same", "widens"]
    for line in contents.tables:
        entry = msgspec.json.decode(manifest[0][line.offset : line.offset + line.length], type=TableEntry)
        assert (entry.table, entry.planned_rows, len(entry.files)) == (line.table, line.rows, line.files)
    schemas = {line.table: line.schema for line in decode_contents(store, "r1").tables}
    changed = [line.table for line in contents.tables if schemas.get(line.table, line.schema) != line.schema]
    assert changed == ["widens"]


def test_changes_of_tables_and_columns_are_listed_and_nothing_else() -> None:
    store = two_runs()
    before, after = (asyncio.run(read_manifest(store, SETTINGS, name)) for name in ("r1", "r2"))
    changes = {change.table: change for change in compare(before, after)}
    assert {name: change.change for name, change in changes.items()} == {
        "comes": "added", "goes": "removed", "grows": "changed", "widens": "changed",
    }  # fmt: skip
    assert (changes["grows"].rows_before, changes["grows"].rows_after) == (1, 2)
    assert (changes["widens"].columns_added, changes["widens"].columns_removed) == (("new",), ("old",))
    assert compare(after, after) == []


def with_definition(manifest: Manifest, definition: str) -> Manifest:
    entries = (replace(entry, definition=msgspec.Raw(definition.encode())) for entry in manifest.tables)
    return replace(manifest, tables=tuple(entries))


def struct(*members: str, type_: str = "RECORD", rest: str = "") -> str:
    fields = ", ".join(f'{{"name": "{name}", "type": "STRING"}}' for name in members)
    return f'{{"schema": {{"fields": [{{"name": "address", "type": "{type_}", "fields": [{fields}]}}{rest}]}}}}'


ADDRESS = struct("city", "zip")


@pytest.mark.parametrize(
    ("after", "reported"),
    [
        (struct("city", "zip", "street"), "+address.street"),
        (struct("city"), "-address.zip"),
        (struct("city", "zip", type_="STRUCT"), ""),
        ('{"schema": {"fields": []}}', "-address"),
        (struct("city", "zip", rest=', {"name": "price", "type": "NUMERIC", "precision": "10"}'), "+price"),
    ],
)
def test_changes_within_a_column_are_listed_by_path(after: str, reported: str) -> None:
    manifest = asyncio.run(read_manifest(two_runs(), SETTINGS, "r1"))
    changes = compare(with_definition(manifest, ADDRESS), with_definition(manifest, after))
    assert {change.columns() for change in changes} == ({reported} if reported else set())


def test_a_type_with_other_parameters_is_another_type() -> None:
    manifest = asyncio.run(read_manifest(two_runs(), SETTINGS, "r1"))
    price = '{"schema": {"fields": [{"name": "price", "type": "NUMERIC", "precision": "%s"}]}}'
    changes = compare(with_definition(manifest, price % 10), with_definition(manifest, price % 12))
    assert {change.columns() for change in changes} == {"~price"}


@pytest.mark.parametrize("definition", ["1", '{"schema": {"fields": [{"name": 1}]}}'])
def test_an_invalid_definition_is_reported_with_its_table(definition: str) -> None:
    manifest = asyncio.run(read_manifest(two_runs(), SETTINGS, "r1"))
    with pytest.raises(DocumentError, match=f"cannot read the columns of table {manifest.tables[0].table}: "):
        compare(manifest, with_definition(manifest, definition))
