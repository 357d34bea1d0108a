"""A dataset comes back: into a new dataset, beside what is there, over it, and after any interruption."""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress

import msgspec
import pytest

from bqdump.core.documents.definitions import Definitions
from bqdump.core.documents.target import Erasing
from bqdump.core.errors import (
    AnswerError,
    DocumentError,
    JobFailedError,
    NotFoundError,
    OpenFilesError,
    QuotaError,
    UsageError,
    VerificationError,
)
from bqdump.core.restore.names import LABEL, is_scratch
from bqdump.core.restore.plan import Options
from bqdump.core.tables.catalog import Dataset
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import ObjectInfo
from bqdump.ports.warehouse import JobError
from bqdump.restoration.planning import plan_one
from bqdump.restoration.restore import restore_one as restore
from bqdump.retain.erase import erase
from bqdump.retain.rewrite import Task as Erasure
from bqdump.verbs import plan_restore
from restore.killed import Killed, killed_at
from restore.world import INTO, ROWS, SETTINGS, ExportedWorld
from tiers import points

NEVER = {"expirationMs": None}


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def test_a_dataset_that_does_not_exist_is_created_with_every_table() -> None:
    world = ExportedWorld()
    result = world.restore()
    assert {name: world.rows(name) for name in ROWS} == ROWS
    assert (result.state, result.rows, len(result.tables)) == ("restored", 3, 3)
    assert all(LABEL not in world.definition(name).get("labels", {}) for name in ROWS)


def test_the_same_command_again_changes_nothing_and_reports_the_same() -> None:
    world = ExportedWorld()
    first, jobs = world.restore(), len(world.big.started)
    assert world.restore() == first
    assert len(world.big.started) == jobs


def test_a_dataset_that_is_not_empty_is_refused_before_anything_is_written() -> None:
    world = ExportedWorld()
    world.big.put("project", "copy", "mine", ["x"])
    before = world.store.names_now()
    with pytest.raises(UsageError, match="not empty"):
        world.restore()
    assert (world.rows("mine"), world.store.names_now()) == (["x"], before)


def test_replacing_replaces_the_tables_of_the_export_and_no_other() -> None:
    world = ExportedWorld()
    for name in ("one", "mine"):
        world.big.put("project", "copy", name, ["x"])
    result = world.restore(Options(project="project", dataset="copy", replace=True))
    assert {table.table: table.action for table in result.tables} == {
        "none": "create",
        "one": "replace",
        "two": "create",
    }
    assert {name: world.rows(name) for name in ROWS} == ROWS
    assert world.rows("mine") == ["x"]
    assert not [one for one in asyncio.run(world.big.present(asyncio.run(world.big.dataset("project", "copy"))))
                if is_scratch(one.name)]  # fmt: skip


def test_a_table_with_another_layout_is_refused_before_anything_is_changed() -> None:
    world = ExportedWorld()
    world.big.put("project", "copy", "one", ["x"])
    change = msgspec.Raw(b'{"clustering": {"fields": ["line"]}}')
    dataset = asyncio.run(world.big.dataset("project", "copy"))
    asyncio.run(world.big.change_table(dataset, "one", change))
    before = world.store.names_now()
    with pytest.raises(UsageError, match="one is clustered by line there, and neither partitioned nor clustered in"):
        world.restore(Options(project="project", dataset="copy", replace=True))
    assert (world.rows("one"), world.store.names_now()) == (["x"], before)


def test_a_replaced_table_and_its_scratch_table_lose_no_partition_to_an_expiration() -> None:
    world = ExportedWorld()
    partitioning = {"type": "DAY"}
    lasting = {"type": "DAY", "expirationMs": "1"}
    world.big.put("project", "copy", "one", ["x"])
    dataset = asyncio.run(world.big.dataset("project", "copy"))
    world.change_definition("one", timePartitioning=partitioning)
    asyncio.run(world.big.change_table(dataset, "one", raw({"timePartitioning": lasting})))
    asyncio.run(world.big.change_dataset(dataset, raw({"defaultPartitionExpirationMs": "1"})))
    changed = world.changes()
    world.restore(Options(project="project", dataset="copy", replace=True))
    kept = [name for name, change in changed if (change.get("timePartitioning") or {}) == {**partitioning, **NEVER}]
    assert "one" in kept
    assert any(is_scratch(name) for name in kept)


def test_filling_gaps_leaves_what_is_there() -> None:
    world = ExportedWorld()
    world.big.put("project", "copy", "one", ["x"])
    result = world.restore(Options(project="project", dataset="copy", missing_only=True))
    assert [table.table for table in result.tables] == ["none", "two"]
    assert (world.rows("one"), world.rows("two")) == (["x"], ["c"])


def test_the_source_dataset_needs_a_confirmation() -> None:
    world = ExportedWorld()
    options = Options(project="project", dataset="data", replace=True)
    with pytest.raises(UsageError, match="is the dataset that was exported"):
        world.restore(options)
    shown = asyncio.run(plan_one(world.task(options)))
    assert [(table.table, table.action) for table in shown.tables][:1] == [("none", "replace")]
    world.big.put("project", "data", "one", ["changed"])
    world.restore(options, yes=True)
    assert world.rows("one", "data") == ["a", "b"]


def test_a_dataset_that_is_gone_comes_back_under_its_name_without_a_confirmation() -> None:
    world = ExportedWorld()
    asyncio.run(world.big.drop_dataset(asyncio.run(world.big.dataset("project", "data"))))
    result = world.restore(Options(project="project", dataset="data"))
    assert {table.action for table in result.tables} == {"create"}
    assert world.rows("one", "data") == ["a", "b"]


def test_a_table_that_is_gone_comes_back_next_to_the_others_without_a_confirmation() -> None:
    world = ExportedWorld()
    world.big.drop("project", "data", "one")
    world.big.put("project", "data", "two", ["changed"])
    result = world.restore(Options(project="project", dataset="data", missing_only=True))
    assert [(table.table, table.action) for table in result.tables] == [("one", "create")]
    assert (world.rows("one", "data"), world.rows("two", "data")) == (["a", "b"], ["changed"])


@pytest.mark.parametrize(
    "damage",
    [
        {"expirationTime": "soon"},
        {"timePartitioning": "x"},
        {"timePartitioning": {"type": "DAY", "expirationMs": "1 day"}},
        {"rangePartitioning": {"field": "line", "range": {"start": "x"}}},
        {"clustering": {"fields": "line"}},
        {"labels": ["a"]},
        {"tableConstraints": "none"},
        {"tableConstraints": {"primaryKey": {"columns": [7]}}},
        {"tableConstraints": {"foreignKeys": [{"referencedTable": {}}]}},
        {"view": {"query": 7}},
    ],
)
def test_a_definition_that_is_damaged_is_refused_by_the_name_of_its_table(damage: dict[str, object]) -> None:
    world = ExportedWorld()
    world.change_definition("one", **damage)
    with pytest.raises(DocumentError, match="the definition of table 'one' is not BigQuery's"):
        world.restore()
    assert ("project", "copy") not in world.big.datasets


def test_a_name_of_a_run_that_is_almost_right_is_suggested() -> None:
    world = ExportedWorld()
    with pytest.raises(
        NotFoundError, match=r"run r11 in .*: there is none; did you mean r1\? List the runs: bqdump.runs"
    ):
        world.restore(run="r11")


def test_files_that_changed_are_refused_before_anything_is_created() -> None:
    world = ExportedWorld()
    name = world.manifest.tables[1].files[0].name
    world.store.put_now(name, b"other\n")
    with pytest.raises(VerificationError, match=f"{name} has another size"):
        world.restore()
    assert ("project", "copy") not in world.big.datasets


def test_a_file_that_is_replaced_while_it_is_loaded_fails_its_table_only() -> None:
    world = ExportedWorld()
    name = next(table for table in world.manifest.tables if table.table == "one").files[0].name
    world.big.seconds = lambda table: world.store.put_now(name, b"a\nb\n").size * 0.0 if is_scratch(table) else 0.0
    result = world.restore()
    assert [(one.name, one.reason) for one in result.failed] == [("one", "replaced")]
    assert (result.state, world.rows("one"), world.rows("two")) == ("incomplete", None, ["c"])


def test_a_default_value_that_is_refused_leaves_no_table_that_is_not_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ExportedWorld()
    fields = [{"name": "line", "type": "STRING", "defaultValueExpression": "nonsense"}]
    world.change_definition("one", schema={"fields": fields})

    change = world.big.change_table

    async def refuse(dataset: Dataset, name: str, changes: msgspec.Raw) -> None:
        if b"nonsense" in bytes(changes):
            raise JobFailedError("change", f"table {name}", "no such function")
        await change(dataset, name, changes)

    monkeypatch.setattr(world.big, "change_table", refuse)
    result = world.restore()
    assert [(one.name, one.message) for one in result.failed] == [("one", "no such function")]
    assert (world.rows("one"), world.rows("two")) == (None, ["c"])


def test_a_restore_that_is_killed_and_whose_export_is_replaced_leaves_no_rows_of_another_run() -> None:
    left = kept = 0
    for number in points(range(10_000)):
        world = ExportedWorld()
        try:
            asyncio.run(restore(killed_at(world.task(execution="killed"), number)))
        except Killed:
            world.export("r2", {"one": ["x", "y"], "two": ["z"], "none": ["w"]})
        else:
            break
        try:
            result = world.restore(execution="again", run="r1")
        except VerificationError:
            # Nothing had begun.
            assert ("project", "copy") not in world.big.datasets
            continue
        done = {one.table for one in result.tables}
        assert all(world.rows(name) == ROWS[name] for name in done), number
        assert [name for name in ROWS if name not in done and world.rows(name)] == [], number
        left, kept = left + len(done), kept + len(ROWS) - len(done)
        if any(world.rows(name) is not None for name in ROWS):
            with pytest.raises(UsageError, match="not empty"):
                world.restore(execution="other")
        gaps = msgspec.structs.replace(INTO, missing_only=True)
        assert world.restore(gaps, "gaps").state == "restored", number
        assert {name: world.rows(name) for name in ROWS} == {
            name: ROWS[name] if name in done else world.rows(name, "data") for name in ROWS
        }, number
    assert left > 10
    assert kept > 10


def test_a_restore_that_an_erasure_overtakes_names_the_table_and_a_new_one_finishes_it() -> None:
    world = ExportedWorld()
    with suppress(Killed):
        asyncio.run(restore(killed_at(world.task(), 40)))
    assert world.rows("two") == ROWS["two"]
    erasing = Erasing("one", 1_800_000_900_000, "dana", "why")
    asyncio.run(erase(Erasure(world.store, SETTINGS, erasing, delete=True)))
    cause = "replaced after the restore had been planned: table one was erased from the run"
    with pytest.raises(NotFoundError, match=cause) as refused:
        world.restore()
    assert fill(refused.value.hint, COMMANDS) == (
        "Start a new restore; with --missing-only, it restores only what is missing or unfinished."
    )
    missing = msgspec.structs.replace(INTO, missing_only=True)
    assert world.restore(missing, "second").state == "restored"
    assert world.rows("two") == ROWS["two"]


def test_what_a_restore_had_begun_before_an_erasure_does_not_go_on_and_the_way_out_is_named() -> None:
    world = ExportedWorld()
    dataset = Dataset("project", "copy", "US")
    asyncio.run(world.big.create_dataset("project", "copy", raw({"location": "US"})))
    for table in ("one", "two"):
        begun = {"schema": {"fields": []}, "labels": {LABEL: "0123456789ab-7-01ab"}}
        asyncio.run(world.big.create_table(dataset, table, raw(begun)))
    erasing = Erasing("one", 1_800_000_900_000, "dana", "why")
    asyncio.run(erase(Erasure(world.store, SETTINGS, erasing, delete=True)))
    with pytest.raises(UsageError, match="has not finished one, two") as refused:
        world.restore()
    assert fill(refused.value.hint, COMMANDS) == (
        "Table one was erased from the run, so what was begun before that does not go on. To finish what was begun "
        "from another run, repeat its command, unless that restore was ended (no documents of restore 0123456789ab-7 "
        "are here). Delete one, which the run does not have any more. Restore into a new dataset, or use --replace to "
        "replace what the export also has, or --missing-only to restore only what is missing or unfinished."
    )
    world.restore(msgspec.structs.replace(INTO, missing_only=True), "second")
    assert (world.rows("two"), world.definition("two").get("labels", {})) == (ROWS["two"], {})


def test_whether_the_command_of_an_unfinished_restore_may_be_repeated_follows_from_its_documents() -> None:
    world = ExportedWorld()
    with suppress(Killed):
        asyncio.run(restore(killed_at(world.task(), 40)))

    def hint() -> str:
        with pytest.raises(UsageError, match="has not finished") as refused:
            world.restore(msgspec.structs.replace(INTO, exclude=("one",)), "other")
        return str(refused.value.hint)

    assert hint().startswith("To finish what was begun, repeat its command, with the same run. Restore into ")
    documents = [name for name in world.store.names_now() if "/restores/" in name]
    restore_id = next(name for name in documents if name.endswith("/plan.json")).split("/")[-2]
    for name in documents:
        del world.store._objects[name]
    unless = f"unless that restore was ended (no documents of restore {restore_id} are here). Restore into "
    assert unless in hint()


def test_a_table_of_an_unfinished_restore_is_named_by_the_refusal_and_not_kept_for_one_that_exists() -> None:
    world = ExportedWorld()
    dataset = Dataset("project", "copy", "US")
    first = world.restore(msgspec.structs.replace(INTO, exclude=("one",)))
    assert first.state == "restored"
    unfinished = {"schema": {"fields": []}, "labels": {LABEL: "0123456789ab-7-01ab"}}
    asyncio.run(world.big.create_table(dataset, "one", raw(unfinished)))
    with pytest.raises(
        UsageError, match=r"restore 0123456789ab-7 has not finished one\. .* unless that restore was ended"
    ):
        world.restore(execution="second")
    result = world.restore(msgspec.structs.replace(INTO, missing_only=True), "third")
    assert [(one.table, one.action) for one in result.tables] == [("one", "replace")]
    assert (world.rows("one"), world.definition("one").get("labels", {})) == (["a", "b"], {})


@pytest.mark.parametrize("action", ["create", "replace"])
def test_a_restore_that_is_killed_at_any_request_ends_the_same_when_it_is_repeated(action: str) -> None:
    options = Options(project="project", dataset="copy", replace=action == "replace")
    for number in points(range(10_000)):
        world = ExportedWorld()
        if action == "replace":
            world.big.put("project", "copy", "one", ["x"])
        task = killed_at(world.task(options, "killed"), number)
        try:
            asyncio.run(restore(task))
        except Killed:
            result = world.restore(options, "again")
        else:
            break
        assert (result.state, result.failed) == ("restored", ()), number
        assert {name: world.rows(name) for name in ROWS} == ROWS, number
    assert number > 20


def test_tasks_share_the_tables_and_one_of_them_finishes() -> None:
    world = ExportedWorld({f"t{number}": [f"{number}"] for number in range(12)}, seconds=lambda table: 0.5)

    async def all_tasks() -> list[str]:
        tasks = [world.task(task=number, tasks=3) for number in range(3)]
        return [result.state for result in await asyncio.gather(*map(restore, tasks))]

    assert sorted(asyncio.run(all_tasks())) == ["restored", "running", "running"]
    assert len(asyncio.run(world.store.folders("_bqdump/restores/"))) == 1
    assert all(world.rows(f"t{number}") == [f"{number}"] for number in range(12))
    assert len(world.big.started) == 2 * 12


def test_a_table_whose_job_fails_is_named_and_tried_again_by_the_next_start() -> None:
    world = ExportedWorld()
    world.big.failing = lambda table, job: JobError("invalid", "no such column") if table == "one" else None
    result = world.restore()
    assert [(one.name, one.reason, one.message) for one in result.failed] == [("one", "invalid", "no such column")]
    assert world.rows("two") == ["c"]
    world.big.failing = lambda table, job: None
    jobs = len(world.big.started)
    again = world.restore(execution="second")
    assert (again.state, again.restore) == ("restored", result.restore)
    assert {name: world.rows(name) for name in ROWS} == ROWS
    later = list(world.big.started.items())[jobs:]
    assert later
    assert all("_scratch_" in str(one) or "-0-" not in id_ for id_, one in later)


def test_rows_that_are_missing_after_a_load_fail_the_table() -> None:
    world = ExportedWorld()
    world.change_manifest(tables=tuple(
        table if table.table != "one" else msgspec.structs.replace(table, rows=3)
        for table in world.manifest.tables
    ))  # fmt: skip
    result = world.restore(run="r1")
    assert [(one.name, one.reason) for one in result.failed] == [("one", "rows")]
    assert "2 rows were loaded, and the export has 3" in result.failed[0].message


def test_a_dropped_target_is_restored_anew() -> None:
    world = ExportedWorld()
    world.big.failing = lambda table, job: JobError("invalid", "no") if table == "one" else None
    first = world.restore()
    world.big.failing = lambda table, job: None
    asyncio.run(world.big.drop_dataset(asyncio.run(world.big.dataset("project", "copy"))))
    again = world.restore(execution="second")
    assert again.restore != first.restore
    assert {name: world.rows(name) for name in ROWS} == ROWS


def test_a_table_that_appears_in_the_target_meanwhile_is_not_touched() -> None:
    world = ExportedWorld()

    def appears(table: str) -> float:
        if table == "one" and world.rows("two") is None:
            world.big.put("project", "copy", "two", ["stranger"])
        return 0.0

    world.big.seconds = appears
    task = world.task()
    one_by_one = msgspec.structs.replace(task.settings, concurrency=1)
    result = asyncio.run(restore(task._replace(settings=one_by_one)))
    assert [(one.name, one.reason) for one in result.failed] == [("two", "duplicate")]
    assert world.rows("two") == ["stranger"]


def test_a_page_shows_what_is_restored_and_what_failed() -> None:
    world = ExportedWorld()
    world.big.failing = lambda table, job: JobError("invalid", "no such <column>") if table == "one" else None
    result = world.restore()
    page = world.store.peek(f"_bqdump/restores/{result.restore}/failed-first.html")
    assert page
    assert "no such &lt;column&gt;" in page[0].decode()
    world.big.failing = lambda table, job: None
    world.restore(execution="second")
    page = world.store.peek(f"_bqdump/restores/{result.restore}/report.html")
    assert page
    assert "<strong>Restored.</strong>" in page[0].decode()


def test_a_quota_that_is_exceeded_ends_the_task_and_the_next_start_goes_on() -> None:
    world = ExportedWorld()
    world.big.failing = lambda table, job: JobError("quotaExceeded", "too many loads") if table == "one" else None
    with pytest.raises(QuotaError, match="too many loads"):
        world.restore()
    world.big.failing = lambda table, job: None
    result = world.restore(execution="second")
    assert (result.state, result.rows) == ("restored", 3)
    assert sum("-2-full-" in job for job in world.big.started) == 1


@pytest.mark.parametrize(
    ("met", "raised"),
    [
        (AnswerError("read", "the answer", "it lacks a generation"), AnswerError),
        (OSError(errno.ENOSPC, "No space left on device"), OSError),
        (RuntimeError("cannot load: Too many open files"), OpenFilesError),
    ],
    ids=lambda one: one.__name__ if isinstance(one, type) else "",
)
def test_an_error_that_every_table_would_meet_ends_the_task_and_fails_no_table(
    met: Exception, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = ExportedWorld()
    stat = world.store.stat

    async def meets(name: str) -> ObjectInfo | None:
        if name.startswith("one/"):
            raise met
        return await stat(name)

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "stat", meets)
        with pytest.raises(raised):
            world.restore()
    assert not [name for name in world.store.names_now() if "/failures/" in name]
    assert world.restore(execution="second").rows == 3


def test_an_execution_cannot_take_part_in_two_restores() -> None:
    world = ExportedWorld()
    world.restore()
    with pytest.raises(UsageError, match="execution first: it takes part in restore"):
        world.restore(msgspec.structs.replace(INTO, dataset="other"))
    assert ("project", "other") not in world.big.datasets


def test_defaults_of_the_dataset_wait_until_every_table_is_there() -> None:
    world = ExportedWorld()
    resource = msgspec.Raw(msgspec.json.encode({"defaultTableExpirationMs": "3600000", "labels": {"team": "a"}}))
    world.change_manifest(definitions=Definitions(dataset=resource))
    world.big.failing = lambda table, job: JobError("invalid", "no") if table == "one" else None
    world.restore(run="r1")
    made = world.big.resources["project", "copy"]
    assert (made["labels"], "defaultTableExpirationMs" in made) == ({"team": "a"}, False)
    world.big.failing = lambda table, job: None
    assert world.restore(execution="second", run="r1").state == "restored"
    assert world.big.resources["project", "copy"]["defaultTableExpirationMs"] == "3600000"


def test_what_would_be_restored_is_shown_without_writing_anything() -> None:
    world = ExportedWorld()
    before = world.store.names_now()
    shown = asyncio.run(plan_restore(world.task()))
    assert (shown.state, [table.table for table in shown.tables]) == ("planned", ["none", "one", "two"])
    assert (world.store.names_now(), ("project", "copy") in world.big.datasets) == (before, False)


@pytest.mark.parametrize("route", ["extract", "query", "read"])
def test_a_table_without_columns_is_named_and_the_others_are_restored(route: str) -> None:
    world = ExportedWorld()
    world.change_definition("one", schema={})
    entries = [
        msgspec.structs.replace(entry, route=route) if entry.table == "one" else entry
        for entry in world.manifest.tables
    ]
    world.change_manifest(tables=tuple(entries))
    done = world.restore()
    reason = "the export has no columns of it, and so no rows"
    assert [(lost.name, lost.reason) for lost in done.not_restored] == [("one", reason)]
    assert [table.table for table in done.tables] == ["none", "two"]
    there = asyncio.run(world.big.tables(Dataset("project", "copy", "")))
    assert {table.name for table in there} == {"none", "two"}


def test_a_table_that_is_not_restored_leaves_no_scratch_table(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ExportedWorld(failing=lambda table, job: JobError("invalid", "no") if "-copy-" in job else None)
    assert {one.name for one in world.restore().failed} == set(ROWS)
    assert {name for name in world.big.datasets["project", "copy"] if world.rows(name) is not None} == set(ROWS)
