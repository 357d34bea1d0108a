"""Tables with more partitions than one job may change, and some partitions of a table."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from bqdump.core.documents.run import Owner
from bqdump.core.errors import UsageError
from bqdump.core.restore.names import is_scratch
from bqdump.core.restore.plan import Options
from bqdump.core.sets.restoring import with_patterns_of
from bqdump.core.tables.catalog import Dataset
from bqdump.export.run import run as export
from bqdump.export.task import Task as ExportTask
from bqdump.export.work import job
from bqdump.ports.destination import LoadRequest
from bqdump.ports.warehouse import Job, JobError
from bqdump.restoration.restore import restore_one as restore
from restore import test_copies
from restore.killed import Killed, killed_at
from restore.world import INTO, ROWS, SETTINGS, ExportedWorld
from tiers import points

COPY = Dataset("project", "copy", "US")

REFUSAL = JobError("invalid", "Too many partitions produced by query, allowed 4000, query produces at least 5000")


def world() -> ExportedWorld:
    """Load jobs into empty tables of the target are refused, those into scratch tables are not."""
    made = ExportedWorld()
    made.big.failing = lambda table, job: REFUSAL if "-load-" in job and not made.rows(table) else None
    return made


def test_such_a_table_is_filled_through_a_scratch_table() -> None:
    found = world()
    result = found.restore()
    assert (result.state, found.rows("one")) == ("restored", ["a", "b"])
    present = asyncio.run(found.big.present(asyncio.run(found.big.dataset("project", "copy"))))
    assert [one.name for one in present] == ["none", "one", "two"]


def test_it_may_be_killed_at_any_request() -> None:
    number = 0
    while True:
        found = world()
        try:
            asyncio.run(restore(killed_at(found.task(execution="killed"), number)))
        except Killed:
            result = found.restore(execution="again")
        else:
            break
        assert (result.state, result.failed) == ("restored", ()), number
        assert {name: found.rows(name) for name in ROWS} == ROWS, number
        number += 1
    assert number > 30


DAYS = {"days": ["20260101:a", "20260102:b", "20260102:c", "20260103:d"]}
MINE = ["20260102:mine", "20260103:e"]
CHOSEN = replace(INTO, include=("days",), partitions=("days$20260101..20260102",))


def by_partition() -> ExportedWorld:
    """A table that is exported by partition, and one of its name in the target, without the first partition."""
    made = ExportedWorld()
    made.big.put("project", "data", "days", DAYS["days"], partitioned=True)
    settings = replace(SETTINGS, path="{table}/{partition}/*", partitions_min_bytes=0)
    asyncio.run(export(ExportTask(made.store, made.big, settings, "r2", Owner("r2", 0), 1)))
    made.big.put("project", "copy", "days", MINE, partitioned=True)
    return made


def test_some_partitions_that_are_killed_at_any_request_are_complete_once_the_command_is_repeated() -> None:
    options = replace(CHOSEN, replace=True)
    for number in points(range(10_000)):
        world = by_partition()
        try:
            asyncio.run(restore(killed_at(world.task(options, "killed", run="r2"), number)))
        except Killed:
            between = world.rows("days") or []
            assert "20260103:e" in between, number
            # A partition is as it was, or complete.
            assert [row for row in between if row[:8] == "20260102"] in (MINE[:1], DAYS["days"][1:3]), number
            result = world.restore(options, "again", run="r2")
        else:
            break
        assert (result.state, result.failed) == ("restored", ()), number
        assert sorted(world.rows("days") or []) == ["20260101:a", "20260102:b", "20260102:c", "20260103:e"], number
        assert not [one.name for one in asyncio.run(world.big.present(COPY)) if is_scratch(one.name)], number
    assert number > 20


def test_rows_that_arrive_in_an_empty_partition_are_kept_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    world = by_partition()
    options = replace(CHOSEN, partitions=("days$20260101",))
    load = world.big.load

    async def load_slowly(request: LoadRequest) -> Job:
        world.big.put("project", "copy", "days", ["20260101:mine"], partitioned=True)
        return await load(request)

    monkeypatch.setattr(world.big, "load", load_slowly)
    result = world.restore(options, run="r2")
    assert [(one.name, one.reason) for one in result.failed] == [("days", "duplicate")]
    assert world.rows("days") == ["20260101:mine"]


def test_files_whose_names_alone_say_when_rows_arrived_load_into_their_partitions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = by_partition()
    # Without the column that it was partitioned by.
    lines = {"fields": [{"name": "line", "type": "STRING"}]}
    world.change_definition("days", timePartitioning={"type": "DAY"}, schema=lines)
    loaded = list[tuple[str, list[str]]]()
    load = world.big.load

    async def loading(request: LoadRequest) -> Job:
        loaded.append((request.to.partition, [uri.split("/")[-2] for uri in request.uris]))
        return await load(request)

    monkeypatch.setattr(world.big, "load", loading)
    assert world.restore(replace(INTO, include=("days",), dataset="other"), run="r2").state == "restored"
    assert loaded == [(day, [day]) for day in ("20260101", "20260102", "20260103")]


def test_partitions_of_an_export_in_a_local_folder_are_uploaded_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_copies, "ExportedWorld", by_partition)
    folder = test_copies.Folder()
    uploaded: list[str] = []
    load = folder.world.big.load

    async def loading(request: LoadRequest) -> Job:
        uploaded.extend(request.uris)
        return await load(request)

    monkeypatch.setattr(folder.world.big, "load", loading)
    task = folder.task(replace(CHOSEN, replace=True))
    assert asyncio.run(restore(task)).state == "restored"
    assert sorted(folder.world.rows("days") or []) == ["20260101:a", "20260102:b", "20260102:c", "20260103:e"]
    assert sorted(uri.split("/")[-2] for uri in uploaded) == ["20260101", "20260102"]
    assert folder.uploads == []


def by_query() -> ExportedWorld:
    """A table that is exported whole, with rows of two days of three, and one of its name that has all three."""
    made = ExportedWorld(matching=lambda statement, row: row[:8] in ("20260101", "20260103"))
    made.big.put("project", "data", "days", ["20260101:a", "20260103:d"], partitioned=True)
    asyncio.run(export(ExportTask(made.store, made.big, SETTINGS, "r2", Owner("r2", 0), 1)))
    made.big.put(
        "project", "copy", "days", ["20260101:x", "20260102:mine", "20260103:y", "20260103:z"], partitioned=True
    )
    return made


def test_a_partition_that_the_export_lacks_stays_is_named_and_is_no_change_once_the_command_is_repeated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = replace(CHOSEN, partitions=("days$20260101..20260103",), replace=True)
    for number in points(range(10_000)):
        world = by_query()
        caplog.clear()
        try:
            result = asyncio.run(restore(killed_at(world.task(options, "killed", run="r2"), number)))
        except Killed:
            repeated = world.restore(options, "again", run="r2")
            assert (repeated.state, repeated.failed) == ("restored", ()), number
        else:
            break
        assert sorted(world.rows("days") or []) == ["20260101:a", "20260102:mine", "20260103:d"], number
    assert (result.state, result.rows, number > 20) == ("restored", 2, True)
    assert "days: the export has no rows in 20260102: they stay as they are" in caplog.messages


@pytest.mark.parametrize(
    ("options", "table"),
    [
        (replace(CHOSEN, partitions=("days$20260101",)), "days"),
        (replace(INTO, include=("one",), data_only=True), "one"),
        (replace(INTO, include=("one",), data_only=True, replace=True), "one"),
    ],
    ids=["partitions", "data-only", "replace"],
)
def test_what_the_second_try_of_a_copy_job_has_filled_is_known_once_the_command_is_repeated(
    monkeypatch: pytest.MonkeyPatch, options: Options, table: str
) -> None:
    monkeypatch.setattr(job, "LONGEST_PAUSE", 0.0)
    limit = JobError("rateLimitExceeded", "too many at once")
    for number in points(range(10_000)):
        world = by_partition()
        world.big.put("project", "copy", "one", [])
        world.big.failing = lambda _, id_: limit if id_.endswith("-copy-0-0") else None
        try:
            asyncio.run(restore(killed_at(world.task(options, "killed", run="r2"), number)))
        except Killed:
            result = world.restore(options, "again", run="r2")
            assert (result.state, result.failed) == ("restored", ()), number
        else:
            break
        expected = ROWS["one"] if table == "one" else ["20260101:a", *MINE]
        assert sorted(world.rows(table) or []) == expected, number
    assert number > 15


def test_in_a_set_each_dataset_restores_the_partitions_of_its_own_tables() -> None:
    options = replace(CHOSEN, include=("days", "hours"), partitions=("days$20260101", "hours$2026010100"))
    objects = {"a": ["days", "x"], "b": ["hours", "days"], "c": ["x"]}
    made = with_patterns_of(options, objects, {name: {} for name in objects})
    assert {name: own.partitions for name, own in made.items()} == {
        "a": options.partitions[:1],
        "b": options.partitions,
    }
    with pytest.raises(UsageError, match="partitions 'dyas': matches no object of any dataset; did you mean 'days'"):
        with_patterns_of(replace(CHOSEN, include=("dyas",), partitions=("dyas$20260101",)), {"a": ["days"]}, {"a": {}})
